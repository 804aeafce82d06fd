// Copies stdin to several files past the page cache, and makes them durable. Each may fail by itself.
//
// It shows writers that do not disturb each other: each has a queue of its own, and all queues run on one pool. A
// destination that fails is reported and left out, and the others become complete.
#include <asioq/asioq.hpp>

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <list>
#include <span>
#include <system_error>

#include "support/progress.hpp"

namespace {

namespace fs = std::filesystem;
using queue_type = asioq::basic_asio_queue<asioq::thread_pool::executor_type>;

constexpr std::size_t block_size = 1 << 20;

class destination {
 public:
  destination(asioq::thread_pool& pool, const fs::path& path)
      : queue_(pool.executor(), {.buffer_size = block_size, .order = asioq::execution_order::as_if_serial}),
        out_(asioq::file::create(path)),
        is_on_disk_(fs::is_regular_file(path) || fs::is_block_file(path)),
        sink_(queue_, out_, {.max_behind = 8 * block_size}) {}

  /// Waits only while too much is unwritten.
  void write(std::span<const std::byte> bytes) { sink_.write(bytes); }

  void start_sync() {
    if (is_on_disk_) sink_.start_sync();
  }

  /// Returns when all is on the disk, and the file's name in its folder.
  void close() {
    sink_.close();
    const asioq::file folder = asioq::file::open_for_reading(fs::canonical(out_.path()).parent_path());
    // Some file systems cannot do this for folders.
    if (::fsync(folder.fd()) != 0 && errno != EINVAL)
      throw std::system_error(errno, std::system_category(), folder.path());
    out_.close();
  }

 private:
  queue_type queue_;
  asioq::file out_;
  bool is_on_disk_;  // so that it can be synced
  asioq::writer<queue_type> sink_;
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fprintf(stderr, "usage: tee_direct FILE...\n");
    return 2;
  }
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
  std::list<destination> sinks;
  for (const char* path : std::span(argv, static_cast<std::size_t>(argc)).subspan(1))
    fails([&] { sinks.emplace_back(pool, path); });

  queue_type queue{pool.executor(), {.buffer_size = block_size, .order = asioq::execution_order::as_if_serial}};
  asioq::reader source{queue, STDIN_FILENO};
  std::span<const std::byte> block;
  while (!sinks.empty() && !fails([&] { block = source.next(); }) && !block.empty()) {
    sinks.remove_if([&](destination& its) { return fails([&] { its.write(block); }); });
    line.show(source.position() >> 20U, 0, "MiB");
  }
  for (destination& its : sinks) its.start_sync();
  sinks.remove_if([&](destination& its) { return fails([&] { its.close(); }); });
  return is_good ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "tee_direct: %s\n", error.what());
  return 1;
}
