// Copies a file past the page cache, with reads and write-backs in flight at once, and compares checksums at the end.
//
// The queue runs at the same time whatever cannot disturb each other, so while some blocks are written others are read,
// but hands them out in order. Each block is written from the buffer it was read into.
#include <asioq/asioq.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

constexpr std::size_t depth = 8;  // blocks that are read ahead, blocks that have yet to be written, and threads

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::system_category(), what);
}

/// An open regular file, without the page cache where that is possible.
struct file {
  std::string path;
  int fd;
  struct stat status{};
  bool direct = true;
  std::size_t alignment = 4096;  // of offsets and lengths; a safe guess where the kernel does not tell

  // Non-blocking, so that a fifo is seen and refused. To regular files it makes no difference.
  file(const char* name, int flags) : path(name), fd(::open(name, flags | O_CLOEXEC | O_NONBLOCK, 0666)) {
    if (fd < 0 || ::fstat(fd, &status) != 0) fail(errno, path);
    if (!S_ISREG(status.st_mode)) throw std::runtime_error(path + ": not a regular file");
#ifdef STATX_DIOALIGN
    struct statx answer{};
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &answer) == 0 && (answer.stx_mask & STATX_DIOALIGN) != 0) {
      direct = answer.stx_dio_offset_align != 0 && answer.stx_dio_mem_align <= asioq::buffer_alignment;
      if (direct) alignment = answer.stx_dio_offset_align;
    }
#endif
    if (!direct || ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_DIRECT) != 0) use_page_cache();
  }
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  ~file() { ::close(fd); }

  void use_page_cache() {
    std::printf("%s: O_DIRECT is refused here, going on with buffered I/O\n", path.c_str());
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_DIRECT);
    direct = false;
    alignment = 1;
  }

  void set_size(std::uint64_t size) const {
    if (::ftruncate(fd, static_cast<off_t>(size)) != 0) fail(errno, path);
  }
};

/// A bar, where a person is watching.
struct progress {
  const bool shown = ::isatty(STDERR_FILENO) == 1;
  std::chrono::steady_clock::time_point next{};

  void show(std::uint64_t done, std::uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (!shown || total == 0 || now < next) return;
    next = now + std::chrono::milliseconds{100};
    const int percent = static_cast<int>(std::min<std::uint64_t>(done * 100 / total, 100));
    std::fprintf(stderr, "\r[%-50s] %d %%", std::string(static_cast<std::size_t>(percent / 2), '#').c_str(), percent);
  }
  ~progress() {
    if (shown) std::fputs("\r\033[K", stderr);
  }
};

using copy_queue = asioq::basic_asio_queue<asioq::thread_pool::executor_type>;

copy_queue queue_on(asioq::thread_pool& pool, std::size_t block) {
  return copy_queue{pool.executor(),
                    {.buffer_size = block,
                     .max_writebacks = depth,
                     .order = asioq::execution_order::as_if_serial,
                     // Failures after the first need no report of their own: the copy has failed already.
                     .on_lost_failure = [](asioq::asio_request&) {}}};
}

void submit_read(copy_queue& queue, asioq::asio_request request, int fd, std::uint64_t offset) {
  request.prepare_read(fd, request.buffer().size(), offset);
  queue.submit(std::move(request));
}

/// Writes what has been read, from where it is. Waits while too many write-backs are unfinished.
void submit_write(copy_queue& queue, asioq::asio_request request, const file& out) {
  // Direct writes have an aligned length: the last one writes some zeros too many, to be cut off.
  const std::size_t bytes = request.bytes_transferred();
  const std::size_t padded = (bytes + out.alignment - 1) / out.alignment * out.alignment;
  std::memset(request.buffer().data() + bytes, 0, padded - bytes);
  request.prepare_write_back(out.fd, padded, request.offset());
  try {
    queue.submit(std::move(request));
  } catch (const asioq::write_back_error& error) {  // of an earlier one
    fail(error.code().value(), out.path);
  }
}

/// Copies everything and returns how much that was. Throws at the first failure, and waits for the rest.
std::uint64_t copy(const file& in, const file& out, std::size_t block) {
  asioq::thread_pool pool{depth};
  copy_queue queue = queue_on(pool, block);

  out.set_size(0);
  // Writes in any order are faster into room that is there already. Where that cannot be had they make their own.
  if (in.status.st_size > 0) ::fallocate(out.fd, 0, 0, in.status.st_size);

  std::uint64_t next = 0;    // offset of the next block to read
  std::uint64_t copied = 0;  // bytes
  std::uint64_t end = 0;     // of what has been copied
  const auto read_next = [&] {
    submit_read(queue, queue.get(), in.fd, next);
    next += block;
  };
  for (std::size_t i = 0; i < depth; ++i) read_next();

  progress bar;
  while (asioq::asio_request request = queue.wait()) {  // a block that was read, or a write-back that failed
    if (request.error()) fail(request.error().value(), request.op() == asioq::asio_op::read ? in.path : out.path);
    const std::size_t bytes = request.bytes_transferred();
    if (bytes == 0) continue;  // beyond the end
    copied += bytes;
    end = std::max(end, request.offset() + bytes);
    bar.show(copied, static_cast<std::uint64_t>(in.status.st_size));

    submit_write(queue, std::move(request), out);
    if (bytes == block) read_next();
  }
  if (copied != end) throw std::runtime_error(in.path + ": has changed while it was copied");
  out.set_size(end);
  return end;
}

/// Waits until the file is on the disk, and its name in the folder, without which a new file may still vanish.
void make_durable(const file& out) {
  const std::filesystem::path folder = std::filesystem::absolute(out.path).parent_path();
  const int folder_fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) fail(errno, folder);
  asioq::asio_queue queue{{.buffer_size = 4096}};
  for (const int fd : {out.fd, folder_fd}) {
    asioq::asio_request request = queue.get();
    request.prepare_fsync(fd);
    queue.submit(std::move(request));
  }
  const std::error_code of_file = queue.wait().error();
  const std::error_code of_folder = queue.wait().error();
  ::close(folder_fd);
  if (of_file) fail(of_file.value(), out.path);
  // Some file systems cannot do this for folders.
  if (of_folder && of_folder != std::errc::invalid_argument) fail(of_folder.value(), folder);
}

/// Reads the file again: the hash of the hashes of its blocks.
std::size_t checksum(const file& its, std::size_t block) {
  const std::hash<std::string_view> hash;
  std::string block_hashes;
  asioq::thread_pool pool{depth};
  copy_queue queue = queue_on(pool, block);
  for (std::size_t i = 0; i < depth; ++i) submit_read(queue, queue.get(), its.fd, i * block);
  while (asioq::asio_request request = queue.wait()) {
    if (request.error()) fail(request.error().value(), its.path);
    const std::size_t bytes = request.bytes_transferred();
    if (bytes == 0) continue;
    const std::size_t block_hash = hash({reinterpret_cast<const char*>(request.buffer().data()), bytes});
    block_hashes.append(reinterpret_cast<const char*>(&block_hash), sizeof block_hash);
    const std::uint64_t later = request.offset() + depth * block;
    if (bytes == block) submit_read(queue, std::move(request), its.fd, later);
  }
  return hash(block_hashes);
}

}  // namespace

int main(int argc, char** argv) try {
  std::size_t block = 1 << 20;
  int option = 0;
  while ((option = ::getopt(argc, argv, "b:")) == 'b') block = std::strtoul(optarg, nullptr, 10);
  if (option != -1 || block == 0 || argc - optind != 2) {
    std::fprintf(stderr, "usage: direct_copy [-b BUFFER_BYTES] SOURCE DESTINATION\n");
    return 2;
  }

  file in(argv[optind], O_RDONLY);
  file out(argv[optind + 1], O_RDWR | O_CREAT);
  if (in.status.st_dev == out.status.st_dev && in.status.st_ino == out.status.st_ino)
    throw std::runtime_error(in.path + " and " + out.path + " are the same file");
  const std::size_t unit = std::max(in.alignment, out.alignment);
  if (block % unit != 0) throw std::runtime_error("the size of buffers must be a multiple of " + std::to_string(unit));

  const auto start = std::chrono::steady_clock::now();
  std::uint64_t size = 0;
  try {
    size = copy(in, out, block);
  } catch (const std::system_error& error) {
    // Some file systems take O_DIRECT and then refuse the transfers.
    if (error.code() != std::errc::invalid_argument || !(in.direct || out.direct)) throw;
    for (file* each : {&in, &out}) each->use_page_cache();
    size = copy(in, out, block);
  }
  make_durable(out);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("copied %llu bytes in %.3f s: %.1f MiB/s\n", static_cast<unsigned long long>(size), seconds.count(),
              static_cast<double>(size) / (1 << 20) / seconds.count());

  const std::size_t source = checksum(in, block);
  const std::size_t destination = checksum(out, block);
  std::printf("checksums: source %016zx, destination %016zx\n", source, destination);
  if (source != destination) throw std::runtime_error(out.path + ": differs from " + in.path);
} catch (const std::exception& error) {
  std::fprintf(stderr, "direct_copy: %s\n", error.what());
  return 1;
}
