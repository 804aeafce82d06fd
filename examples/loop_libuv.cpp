// Shows a queue in a libuv loop, which copies SOURCE to COPY, a few blocks at a time, while a timer goes on ticking.
// The queue holds the loop only while requests are outstanding, so uv_run() returns at the end.
#include <uv.h>
#include <asioq/asioq.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <utility>

constexpr std::size_t block_size = 1 << 16;

struct copy final : asioq::completion {
  asioq::asio_queue queue{{.buffer_size = block_size}};
  uv_handle_t* readable;
  int from, to;
  std::uint64_t next = 0;
  int outstanding = 0, error = 0;

  copy(uv_handle_t* handle, int source, int target) : readable(handle), from(source), to(target) {}

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
    if (request.op() == asioq::asio_op::read) {
      request.prepare_write(to, request.bytes_transferred(), request.offset());  // of the same buffer
      submit(std::move(request));
    } else {
      read_next(std::move(request));
    }
  }
};

int main(int argc, char** argv) try {
  const int from = argc == 3 ? ::open(argv[1], O_RDONLY) : -1;
  const int to = from >= 0 ? ::open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;
  if (to < 0) return std::fputs("loop_libuv SOURCE COPY: both must be files that can be opened\n", stderr), 1;

  uv_loop_t* loop = uv_default_loop();
  uv_poll_t readable;
  auto* const handle = reinterpret_cast<uv_handle_t*>(&readable);
  copy its(handle, from, to);
  uv_poll_init(loop, &readable, its.queue.native_handle());  // readable while poll() would deliver something
  readable.data = &its.queue;
  uv_poll_start(&readable, UV_READABLE,
                [](uv_poll_t* handle_of, int, int) { static_cast<asioq::asio_queue*>(handle_of->data)->poll(); });
  uv_unref(handle);
  static int ticks = 0;
  uv_timer_t timer;
  uv_timer_init(loop, &timer);
  uv_timer_start(&timer, [](uv_timer_t*) { ++ticks; }, 0, 1);
  uv_unref(reinterpret_cast<uv_handle_t*>(&timer));
  std::array<asioq::asio_request, 4> blocks;
  for (asioq::asio_request& block : blocks) block = its.queue.get();  // may throw, while nothing is outstanding
  for (asioq::asio_request& block : blocks) its.read_next(std::move(block));
  uv_run(loop, UV_RUN_DEFAULT);
  const auto size = static_cast<long>(::lseek(to, 0, SEEK_END));
  std::printf("%ld bytes copied while the timer ticked %d times\n", size, ticks);
  uv_close(handle, nullptr);  // before the queue closes the descriptor
  uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
  uv_run(loop, UV_RUN_DEFAULT);
  const char* const wrong = its.error != 0 ? uv_strerror(-its.error) : "the copy has another size";
  if (its.error != 0 || ::lseek(from, 0, SEEK_END) != size) return std::fprintf(stderr, "loop_libuv: %s\n", wrong), 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "loop_libuv: %s\n", error.what());
  return 1;
}
