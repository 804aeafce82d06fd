// A writer whose core is in a module that is loaded: tests/mutations compiles that again and again, without the queue,
// the disk and the tests.
#pragma once

#include <asioq/detail/stream/stream_file.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>
#include <asioq/writer.hpp>

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace asioq_test {

/// What the core needs of its queue.
class queue_of_trial {
 public:
  virtual ~queue_of_trial() = default;
  virtual asioq::asio_request get() = 0;
  virtual asioq::asio_request try_get() = 0;
  virtual void submit(asioq::asio_request&& request, asioq::completion& receiver) = 0;
  virtual std::size_t run_one() = 0;
  virtual void resume() = 0;
  virtual void sync_queue() = 0;
  virtual asioq::file_facts facts(int fd) noexcept = 0;
  virtual const asioq::queue_options& options() = 0;
};

/// See `asioq::writer`.
class writer_face {
 public:
  virtual ~writer_face() = default;
  virtual void write(std::span<const std::byte> bytes) = 0;
  virtual std::span<std::byte> reserve(std::size_t count) = 0;
  virtual void commit(std::size_t count) = 0;
  virtual void put(asioq::asio_request&& block) = 0;
  virtual void start_flush() = 0;
  virtual void flush() = 0;
  virtual void start_sync() = 0;
  virtual void sync() = 0;
  virtual void close() = 0;
  [[nodiscard]] virtual std::uint64_t position() const = 0;
  [[nodiscard]] virtual std::uint64_t written_through() const = 0;
  [[nodiscard]] virtual std::uint64_t durable_through() const = 0;
  [[nodiscard]] virtual std::error_code error() const = 0;
  virtual void retry() = 0;
};

/// What the module has, by the name `make_writer_on_trial`.
using make_writer = writer_face*(queue_of_trial& queue, const asioq::detail::stream_file& its,
                                 const asioq::writer_options& options);

/// Loads the module.
inline std::unique_ptr<writer_face> load_writer_on_trial(queue_of_trial& queue, const asioq::detail::stream_file& its,
                                                         const asioq::writer_options& options) {
  static const auto make = [] {
    const char* const path = std::getenv("ASIOQ_MODULE_ON_TRIAL");
    void* const module = path == nullptr ? nullptr : ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void* const symbol = module == nullptr ? nullptr : ::dlsym(module, "make_writer_on_trial");
    if (symbol == nullptr) throw std::runtime_error("no module on trial");
    return reinterpret_cast<make_writer*>(symbol);
  }();
  return std::unique_ptr<writer_face>(make(queue, its, options));
}

template <class Queue>
class writer_on_trial final : private queue_of_trial {
 public:
  writer_on_trial(Queue& queue, int fd, asioq::writer_options options = {})
      : queue_(queue), writer_(load_writer_on_trial(*this, asioq::detail::stream_file(queue, fd), options)) {}

  void write(std::span<const std::byte> bytes) { writer_->write(bytes); }
  std::span<std::byte> reserve(std::size_t count) { return writer_->reserve(count); }
  void commit(std::size_t count) { writer_->commit(count); }
  void put(asioq::asio_request&& block) { writer_->put(std::move(block)); }
  void start_flush() { writer_->start_flush(); }
  void flush() { writer_->flush(); }
  void start_sync() { writer_->start_sync(); }
  void sync() { writer_->sync(); }
  void close() { writer_->close(); }
  [[nodiscard]] std::uint64_t position() const { return writer_->position(); }
  [[nodiscard]] std::uint64_t written_through() const { return writer_->written_through(); }
  [[nodiscard]] std::uint64_t durable_through() const { return writer_->durable_through(); }
  [[nodiscard]] std::error_code error() const { return writer_->error(); }
  void retry() { writer_->retry(); }

 private:
  asioq::asio_request get() override { return queue_.get(); }
  asioq::asio_request try_get() override { return queue_.try_get(); }
  void submit(asioq::asio_request&& request, asioq::completion& receiver) override {
    queue_.submit(std::move(request), receiver);
  }
  std::size_t run_one() override { return queue_.run_one(); }
  void resume() override { queue_.resume(); }
  void sync_queue() override { queue_.sync(); }
  asioq::file_facts facts(int fd) noexcept override { return asioq::detail::facts_ahead(queue_, fd); }
  const asioq::queue_options& options() override { return queue_.options(); }

  Queue& queue_;
  std::unique_ptr<writer_face> writer_;
};

}  // namespace asioq_test
