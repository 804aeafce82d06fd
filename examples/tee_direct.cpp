// Copies stdin to several files past the page cache, and makes them durable.
//
// It shows writers that are independent of each other: each has a queue of its own, and all queues run on one pool. The
// program reports a destination that fails, and completes the others.
#include <asioq/asioq.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <list>
#include <memory_resource>
#include <span>
#include <stdexcept>
#include <system_error>

#include "support/progress.hpp"

namespace {

namespace fs = std::filesystem;
using queue_type = asioq::basic_asio_queue<asioq::thread_pool::executor_type, std::pmr::polymorphic_allocator<>>;

constexpr std::size_t block_size = 1 << 20;

asioq::queue_options options() { return {.buffer_size = block_size, .order = asioq::execution_order::as_if_serial}; }

class destination {
 public:
  destination(asioq::thread_pool& pool, std::pmr::memory_resource& memory, const fs::path& path)
      : queue_(pool.executor(), options(), &memory),
        out_(asioq::file::create(path)),
        is_on_disk_(fs::is_regular_file(path) || fs::is_block_file(path)),
        sink_(queue_, out_, {.max_behind = 8 * block_size}) {}

  /// Waits only while `max_behind` bytes are unwritten.
  void write(std::span<const std::byte> bytes) { sink_.write(bytes); }

  void start_sync() {
    if (is_on_disk_) sink_.start_sync();
  }

  /// Returns when everything is on the disk, including the file's name in its directory.
  void close() {
    sink_.close();
    if (is_on_disk_) sync_directory();
    out_.close();
  }

 private:
  void sync_directory() {
    const asioq::file directory = asioq::file::open_for_reading(fs::canonical(out_.path()).parent_path());
    // Some file systems cannot do this for directories.
    if (::fsync(directory.fd()) != 0 && errno != EINVAL)
      throw std::system_error(errno, std::system_category(), directory.path());
  }

  queue_type queue_;
  asioq::file out_;
  bool is_on_disk_;  // so that it can be synced
  asioq::writer<queue_type> sink_;
};

}  // namespace

int main(int argc, char** argv) try {
  if (::getopt(argc, argv, "") != -1 || optind == argc) {
    std::fprintf(stderr, "usage: tee_direct FILE...\n");
    return 2;
  }
  // If stdin or stderr were closed, a destination would get its descriptor.
  if (::fcntl(STDIN_FILENO, F_GETFD) < 0) throw std::system_error(errno, std::system_category(), "stdin");
  while (::fcntl(STDERR_FILENO, F_GETFD) < 0)
    if (::open("/dev/null", O_RDWR) < 0) return 1;
  bool is_good = true;
  progress line;
  const auto fails = [&](auto action) {
    try {
      action();
      return false;
    } catch (const std::exception& error) {
      is_good = false;
      line.erase();
      std::fprintf(stderr, "tee_direct: %s\n", error.what());
      return true;
    }
  };

  asioq::thread_pool pool{8};
  asioq::huge_page_resource memory;
  std::list<destination> sinks;
  for (const fs::path path : std::span(argv + optind, argv + argc))
    fails([&] {
      std::error_code ignored;  // the file may be missing
      if (fs::is_regular_file(path, ignored) && fs::equivalent("/dev/stdin", path, ignored))
        throw std::runtime_error(path.string() + ": is its own source");
      sinks.emplace_back(pool, memory, path);
    });

  queue_type queue{pool.executor(), options(), &memory};
  asioq::reader source{queue, STDIN_FILENO};
  std::span<const std::byte> block;
  while (!sinks.empty() && !fails([&] { block = source.next(); }) && !block.empty()) {
    sinks.remove_if([&](destination& its) { return fails([&] { its.write(block); }); });
    line.show(source.position() >> 20U, 0, "MiB");
  }
  sinks.remove_if([&](destination& its) { return fails([&] { its.start_sync(); }); });
  sinks.remove_if([&](destination& its) { return fails([&] { its.close(); }); });
  return is_good ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "tee_direct: %s\n", error.what());
  return 1;
}
