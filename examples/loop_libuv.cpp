// Shows a queue in a libuv loop, which copies SOURCE to COPY, a few blocks at a time, while a timer goes on ticking. The
// queue holds the loop only as long as requests are outstanding, so uv_run() returns at the end.
#include <uv.h>
#include <asioq/asioq.hpp>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <utility>

constexpr std::size_t block_size = 1 << 16;

struct copy final : asioq::completion {
  asioq::asio_queue& queue;
  uv_handle_t* readable;
  int from, to;
  std::uint64_t next = 0;
  int outstanding = 0, error = 0;

  copy(asioq::asio_queue& its_queue, uv_handle_t* handle, int source, int target)
      : queue(its_queue), readable(handle), from(source), to(target) {}

  void submit(asioq::asio_request request) {
    queue.submit(std::move(request), *this);
    if (outstanding++ == 0) uv_ref(readable);
  }

  void read_next(asioq::asio_request request) {
    request.prepare_read(from, block_size, std::exchange(next, next + block_size));
    submit(std::move(request));
  }

  void finished(asioq::asio_request request) noexcept override {
    if (--outstanding == 0) uv_unref(readable);
    if (request.error() && error == 0) error = request.error().value();
    if (error != 0 || (request.op() == asioq::asio_op::read && request.bytes_transferred() == 0)) return;
    if (request.op() == asioq::asio_op::write) return read_next(std::move(request));
    request.prepare_write(to, request.bytes_transferred(), request.offset());
    submit(std::move(request));  // the same buffer
  }
};

int main(int argc, char** argv) {
  std::FILE* source = argc == 3 ? std::fopen(argv[1], "r") : nullptr;
  std::FILE* target = source != nullptr ? std::fopen(argv[2], "w") : nullptr;
  if (target == nullptr) {
    std::perror(argc == 3 ? argv[source == nullptr ? 1 : 2] : "loop_libuv SOURCE COPY");
    return 1;
  }

  uv_loop_t* loop = uv_default_loop();
  asioq::asio_queue queue{{.buffer_size = block_size}};
  uv_poll_t readable;
  uv_poll_init(loop, &readable, queue.native_handle());  // readable while poll() would deliver something
  readable.data = &queue;
  uv_poll_start(&readable, UV_READABLE,
                [](uv_poll_t* its, int, int) { static_cast<asioq::asio_queue*>(its->data)->poll(); });
  auto* const handle = reinterpret_cast<uv_handle_t*>(&readable);
  uv_unref(handle);

  static int ticks = 0;
  uv_timer_t timer;
  uv_timer_init(loop, &timer);
  uv_timer_start(&timer, [](uv_timer_t*) { ++ticks; }, 0, 1);
  uv_unref(reinterpret_cast<uv_handle_t*>(&timer));

  copy its(queue, handle, ::fileno(source), ::fileno(target));
  for (int i = 0; i < 4; ++i) its.read_next(queue.get());
  uv_run(loop, UV_RUN_DEFAULT);
  const int ticks_then = ticks;
  uv_close(handle, nullptr);  // before the queue closes the descriptor
  uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
  uv_run(loop, UV_RUN_DEFAULT);

  std::fseek(source, 0, SEEK_END);
  std::fseek(target, 0, SEEK_END);
  std::printf("%ld bytes copied while the timer ticked %d times\n", std::ftell(target), ticks_then);
  if (its.error != 0) std::fprintf(stderr, "loop_libuv: %s\n", uv_strerror(-its.error));
  return its.error == 0 && std::ftell(source) == std::ftell(target) ? 0 : 1;
}
