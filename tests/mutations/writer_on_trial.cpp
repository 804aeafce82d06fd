// The core of a writer, on a queue behind an interface. This unit is what is compiled with each mistake.
#include "writer_on_trial.hpp"

#include <asioq/detail/stream/write_behind.hpp>
#include <asioq/detail/stream/write_calls.hpp>

namespace asioq_test {

namespace {

using asioq::detail::write_behind;

class core_on_trial final : public write_behind {
 public:
  core_on_trial(queue_of_trial& queue, const asioq::detail::stream_file& its, const settings& how)
      : write_behind(its, how), queue_(queue) {}

 private:
  asioq::asio_request try_get() override { return queue_.try_get(); }
  void submit(asioq::asio_request&& request) override { queue_.submit(std::move(request), *this); }
  bool deliver() override { return queue_.run_one() != 0; }
  void resume_queue() override { queue_.resume(); }
  void sync_queue() override { queue_.sync_queue(); }
  [[nodiscard]] bool is_holding_queue() const noexcept override { return false; }
  [[nodiscard]] asioq::file_facts facts(int fd) const noexcept override { return queue_.facts(fd); }
  bool report(asioq::asio_request& request) override {
    queue_.options().on_lost_failure(request);
    return true;
  }

  queue_of_trial& queue_;
};

class trial final : public writer_face {
  template <class Call, class... Arguments>
  decltype(auto) run(Arguments&&... arguments) {
    Call call(*core_, std::forward<Arguments>(arguments)...);
    while (!call.goes_on())
      if (queue_.run_one() == 0) static_cast<void>(queue_.get());
    return call.result();
  }

 public:
  trial(queue_of_trial& queue, const asioq::detail::stream_file& its, const asioq::writer_options& options)
      : queue_(queue),
        core_(new core_on_trial(queue, its,
                                {.start = options.append ? its.end() : options.offset,
                                 .max_behind = options.max_behind,
                                 .keeps_until_durable = options.keep == asioq::retention::until_durable})) {}
  trial(const trial&) = delete;
  trial& operator=(const trial&) = delete;
  ~trial() override { core_->end(); }

  void write(std::span<const std::byte> bytes) override {
    if (!core_->write_at_once(bytes)) run<write_behind::write_call>(bytes);
  }
  std::span<std::byte> reserve(std::size_t count) override { return run<write_behind::reserve_call>(count); }
  void commit(std::size_t count) override { core_->commit(count); }
  void put(asioq::asio_request&& block) override { run<write_behind::put_call>(block); }
  void start_flush() override { core_->start_flush(); }
  void flush() override { run<write_behind::flush_call>(); }
  void start_sync() override { core_->start_sync(); }
  void sync() override { run<write_behind::sync_call>(); }
  void close() override { run<write_behind::close_call>(); }
  [[nodiscard]] std::uint64_t position() const override { return core_->position(); }
  [[nodiscard]] std::uint64_t written_through() const override { return core_->written_through(); }
  [[nodiscard]] std::uint64_t durable_through() const override { return core_->durable_through(); }
  [[nodiscard]] std::error_code error() const override { return core_->tell_error(); }
  void retry() override { core_->retry(); }

 private:
  queue_of_trial& queue_;
  write_behind* core_;
};

}  // namespace

extern "C" [[gnu::visibility("default")]] writer_face* make_writer_on_trial(queue_of_trial& queue,
                                                                            const asioq::detail::stream_file& its,
                                                                            const asioq::writer_options& options);

extern "C" writer_face* make_writer_on_trial(queue_of_trial& queue, const asioq::detail::stream_file& its,
                                             const asioq::writer_options& options) {
  return new trial(queue, its, options);
}

}  // namespace asioq_test
