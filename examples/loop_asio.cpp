// Shows a queue as an I/O object of standalone Asio: async_submit() takes any completion token, such as a callback or
// use_awaitable, and heeds its cancellation slot. The loop ends when nothing is outstanding.
#include <asio.hpp>
#include <asioq/asioq.hpp>

#include <array>
#include <memory>
#include <utility>

struct detached {  // a coroutine that begins at once and destroys itself at its end
  struct promise_type {
    detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { throw; }  // to the initiator: submitting has failed, for misuse or want of memory
  };
};
class file_queue {       // for an io_context that one thread runs
  int outstanding_ = 0;  // first, as what the queue's destructor resumes uses it
 public:
  asioq::asio_queue queue;
  explicit file_queue(asio::io_context& context) : readable_(context, queue.native_handle()) {}
  ~file_queue() { readable_.release(); }  // Asio must not close the queue's descriptor
  template <class Token>
  auto async_submit(asioq::asio_request request, Token&& token) {
    return asio::async_initiate<Token, void(asioq::asio_request)>(
        [this](auto handler, auto its) { this->carry_out(std::move(handler), std::move(its)); }, token,
        std::move(request));
  }

 private:
  detached carry_out(auto handler, asioq::asio_request request) {  // NOLINT(performance-unnecessary-value-param)
    const auto work = asio::make_work_guard(handler, readable_.get_executor());
    std::stop_source stop;
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) slot.assign([stop](asio::cancellation_type) mutable { stop.request_stop(); });
    const std::unique_ptr<int, decltype([](int* count) { --*count; })> counted{&++outstanding_};  // however it ends
    if (outstanding_ == 1) watch();
    auto done = co_await queue.async_submit(std::move(request), stop.get_token());
    slot.clear();
    // Outside of poll(), where the handler may call everything.
    asio::post(work.get_executor(),
               [its = std::move(handler), done = std::move(done)]() mutable { std::move(its)(std::move(done)); });
  }
  void watch() {
    readable_.async_wait(asio::posix::stream_descriptor::wait_read, [this](std::error_code error) {
      if (error) return;  // the file_queue may be gone
      queue.poll();
      if (outstanding_ > 0) watch();
    });
  }
  asio::posix::stream_descriptor readable_;
};
int main() {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return 1;
  asio::cancellation_signal cancel;
  asio::io_context context;
  file_queue files(context);
  asio::posix::stream_descriptor to(context, ends[1]);  // goes first, which ends the reads that the queue waits for
  const auto read = [&] {
    auto request = files.queue.get();
    request.prepare_read(ends[0], 100);
    return request;
  };
  std::size_t size = 0;
  bool is_cancelled = false;
  const auto receive = [&]() -> asio::awaitable<void> {
    size = (co_await files.async_submit(read(), asio::use_awaitable)).bytes_transferred();
  };
  asio::co_spawn(context, receive, asio::detached);
  context.poll();  // the request has been submitted, and waits for the pipe
  const auto cancellable = [&](auto done) { is_cancelled = done.error() == std::errc::operation_canceled; };
  files.async_submit(read(), asio::bind_cancellation_slot(cancel.slot(), cancellable));
  cancel.emit(asio::cancellation_type::total);  // before its turn has come
  asio::write(to, asio::buffer("through", 7));
  context.run();
  return size == 7 && is_cancelled ? 0 : 1;
}
