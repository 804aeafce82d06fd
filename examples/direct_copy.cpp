// Copies a file past the page cache, makes the copy durable, and then compares checksums. If it fails, the destination
// is not a copy, even if it has the right size. It shows a reader and a writer on one queue. The queue runs requests
// that do not conflict at the same time, so it reads some blocks while it writes others. Each block is written from the
// buffer it was read into. The buffers are in huge pages, where each is contiguous in physical memory.
#include <asioq/asioq.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory_resource>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support/number.hpp"
#include "support/progress.hpp"

namespace {

namespace fs = std::filesystem;
constexpr std::size_t depth = 8;  // blocks that are read ahead, blocks that have yet to be written, and threads

/// Copies everything. When it returns, the data and the name of the copy survive a power cut.
void copy(auto& queue, const asioq::file& in, const asioq::file& out) {
  const std::size_t most = depth * queue.options().buffer_size;
  const std::uint64_t size = in.size();
  // Writes in any order are faster into space that is allocated already. If this fails, they allocate it themselves.
  if (size > 0) static_cast<void>(::fallocate(out.fd(), 0, 0, static_cast<off_t>(size)));

  progress line;
  asioq::reader source{queue, in, {.max_ahead = most}};
  asioq::writer sink{queue, out, {.max_behind = most}};
  while (asioq::asio_request block = source.take()) {
    sink.put(std::move(block));
    line.show(sink.position() >> 20U, size >> 20U, "MiB");
  }
  sink.sync();
  sink.close();
  const asioq::file directory = asioq::file::open_for_reading(fs::canonical(out.path()).parent_path());
  // Some file systems cannot do this for directories.
  if (::fsync(directory.fd()) != 0 && errno != EINVAL)
    throw std::system_error(errno, std::system_category(), directory.path());
}

/// The hash of the hashes of the file's blocks.
std::size_t checksum(auto& queue, const fs::path& path) {
  const asioq::file its = asioq::file::open_for_reading(path);
  asioq::reader source{queue, its, {.max_ahead = depth * queue.options().buffer_size}};
  std::size_t sum = 0;
  std::vector<char> block(queue.options().buffer_size);
  while (const std::size_t size = source.read(std::as_writable_bytes(std::span(block))))
    sum = sum * 31 + std::hash<std::string_view>{}({block.data(), size});
  return sum;
}

}  // namespace

int main(int argc, char** argv) try {
  std::size_t block = 1 << 20;
  int option = 0;
  while ((option = ::getopt(argc, argv, "b:")) == 'b') block = number_in(optarg);
  if (option != -1 || block < 4096 || block > 1 << 30 || argc - optind != 2) {
    std::fprintf(stderr, "usage: direct_copy [-b BUFFER_BYTES] SOURCE DESTINATION\n");
    return 2;
  }
  const fs::path from = argv[optind];
  const fs::path to = argv[optind + 1];
  for (const fs::path& its : {from, to})
    if (fs::exists(its) && !fs::is_regular_file(its)) throw std::runtime_error(its.string() + ": not a regular file");
  std::error_code ignored;  // a file that is missing is another one
  for (const fs::path& its : {from, fs::path("/dev/stdout")})
    if (fs::equivalent(its, to, ignored)) throw std::runtime_error(to.string() + ": is its own source, or is stdout");
  const asioq::file in = asioq::file::open_for_reading(from);
  const asioq::file out = asioq::file::create(to);
  asioq::thread_pool pool{depth};
  asioq::huge_page_resource memory;
  const asioq::queue_options options{.buffer_size = block, .order = asioq::execution_order::as_if_serial};
  asioq::basic_asio_queue queue{pool.executor(), options, std::pmr::polymorphic_allocator<>(&memory)};
  const auto start = std::chrono::steady_clock::now();
  copy(queue, in, out);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  for (const asioq::file* its : {&in, &out})
    if (!its->is_direct()) std::printf("%s: O_DIRECT is refused here, so I/O was buffered\n", its->path().c_str());
  const auto size = static_cast<double>(out.size());
  std::printf("copied %.0f bytes in %.3f s: %.1f MiB/s\n", size, seconds.count(), size / (1 << 20) / seconds.count());
  const std::size_t sums[] = {checksum(queue, from), checksum(queue, to)};
  std::printf("checksums: source %016zx, destination %016zx\n", sums[0], sums[1]);
  if (sums[0] != sums[1]) throw std::runtime_error(to.string() + ": differs from " + from.string());
} catch (const std::exception& error) {
  std::fprintf(stderr, "direct_copy: %s\n", error.what());
  return 1;
}
