// Shows coroutines that each copy a file, on one thread and one queue: on io_uring where that works, else on a pool.
#include <asioq/asioq.hpp>
#ifdef WITH_URING
#include <asioq/uring.hpp>
#endif

#include <algorithm>
#include <cerrno>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace {
int failures = 0;

/// A coroutine that begins at once and destroys itself at its end. The task types of other libraries will do as well.
struct job {
  struct promise_type {
    job get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() try {
      ++failures;
      throw;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "coroutines: %s\n", error.what());
    }
  };
};

using file = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
file open_file(const std::string& path, const char* mode) {
  file opened{std::fopen(path.c_str(), mode), std::fclose};
  if (!opened) throw std::system_error(errno, std::system_category(), path);
  return opened;
}

// The path is a copy of the coroutine's own: what a reference refers to may be gone when it goes on.
job copy(auto& queue, std::string path) {
  const file from = open_file(path, "r");
  const file to = open_file(path + ".copy", "w");
  asioq::asio_request block = queue.get();
  for (std::uint64_t offset = 0;; offset += block.length()) {
    block.prepare_read(::fileno(from.get()), block.buffer().size(), offset);
    block = co_await queue.async_submit(std::move(block));
    if (block.error()) throw std::system_error(block.error(), path);
    if (block.bytes_transferred() == 0) break;
    block.prepare_write(::fileno(to.get()), block.bytes_transferred(), offset);
    block = co_await queue.async_submit(std::move(block));
    if (block.error()) throw std::system_error(block.error(), path + ".copy");
  }
}

bool is_copied(const std::string& path) {
  std::ifstream from(path);
  std::ifstream to(path + ".copy");
  return std::equal(std::istreambuf_iterator<char>(from), {}, std::istreambuf_iterator<char>(to), {});
}
}  // namespace

int main(int argc, char** argv) try {
#ifdef WITH_URING
  asioq::uring_or_pool io{4};
#else
  asioq::thread_pool io{4};
#endif
  asioq::basic_asio_queue<decltype(io)::executor_type> queue{io.executor(),
                                                             {.order = asioq::execution_order::as_if_serial}};
  for (int i = 1; i < argc; ++i) copy(queue, argv[i]);
  while (queue.run_one() > 0) continue;  // resumes the coroutine whose block has been read or written
  if (failures > 0) return 1;
  if (!std::all_of(argv + 1, argv + argc, is_copied)) throw std::runtime_error("a copy differs");
} catch (const std::exception& error) {
  std::fprintf(stderr, "coroutines: %s\n", error.what());
  return 1;
}
