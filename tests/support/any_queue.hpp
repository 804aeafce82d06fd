// A queue whose type is hidden: what uses it is compiled once for all executors, and without the queue itself.
#pragma once

#include <asioq/fwd.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace asioq_test {

/// See `asioq::basic_asio_queue`.
class any_queue {
 public:
  virtual ~any_queue() = default;
  virtual asioq::asio_request get() = 0;
  virtual void submit(asioq::asio_request&& request) = 0;
  virtual asioq::asio_request wait() = 0;
  virtual asioq::asio_request try_wait() = 0;
  virtual void sync() = 0;
  virtual void resume() = 0;
  virtual std::size_t running_requests() = 0;
  virtual std::size_t running_writebacks() = 0;
  virtual std::uint64_t completed_through() = 0;
};

template <class Queue>
class queue_behind_any final : public any_queue {
 public:
  template <class... Arguments>
  explicit queue_behind_any(Arguments&&... arguments) : queue_(std::forward<Arguments>(arguments)...) {}

  asioq::asio_request get() override { return queue_.get(); }
  void submit(asioq::asio_request&& request) override { queue_.submit(std::move(request)); }
  asioq::asio_request wait() override { return queue_.wait(); }
  asioq::asio_request try_wait() override { return queue_.try_wait(); }
  void sync() override { queue_.sync(); }
  void resume() override { queue_.resume(); }
  std::size_t running_requests() override { return queue_.running_requests(); }
  std::size_t running_writebacks() override { return queue_.running_writebacks(); }
  std::uint64_t completed_through() override { return queue_.completed_through(); }

 private:
  Queue queue_;
};

/// Its caller includes `<asioq/queue.hpp>`.
template <class Executor>
std::unique_ptr<any_queue> make_queue(const Executor& executor, const asioq::queue_options& options) {
  return std::make_unique<queue_behind_any<asioq::basic_asio_queue<Executor>>>(executor, options);
}

}  // namespace asioq_test
