// Prints checksum, size and path of every file in directories, as cksum(1) does, in the order of the paths.
//
// It shows several readers at once. Each thread reads one file after another through a queue of its own, and all queues
// run on one pool. So the program reads a file while it opens another and sums up a third, and it reads large files
// ahead. It reports what it cannot read, and continues with the rest.
#include <asioq/asioq.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <exception>
#include <filesystem>
#include <memory_resource>
#include <mutex>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/number.hpp"
#include "support/progress.hpp"

namespace {

namespace fs = std::filesystem;
using queue_type = asioq::basic_asio_queue<asioq::thread_pool::executor_type, std::pmr::polymorphic_allocator<>>;

using byte_tables = std::array<std::array<std::uint32_t, 256>, 8>;

/// What a byte contributes to a sum if 0 to 7 bytes come after it.
constexpr byte_tables contributions = [] {
  byte_tables made{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t sum = byte << 24U;
    for (int bit = 0; bit < 8; ++bit) sum = (sum << 1U) ^ (sum >> 31U) * 0x04C11DB7U;
    made[0][byte] = sum;
  }
  for (std::size_t behind = 1; behind < made.size(); ++behind)
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t sum = made[behind - 1][byte];
      made[behind][byte] = (sum << 8U) ^ made[0][sum >> 24U];
    }
  return made;
}();

/// The checksum of POSIX: a CRC of the bytes and of their number.
class checksum {
 public:
  void add(std::span<const std::byte> bytes) {
    size_ += bytes.size();
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
      const std::uint32_t first = sum_ ^ word(bytes);
      const std::uint32_t second = word(bytes.subspan(4));
      sum_ = contributions[7][first >> 24U] ^ contributions[6][first >> 16U & 0xFFU] ^
             contributions[5][first >> 8U & 0xFFU] ^ contributions[4][first & 0xFFU] ^ contributions[3][second >> 24U] ^
             contributions[2][second >> 16U & 0xFFU] ^ contributions[1][second >> 8U & 0xFFU] ^
             contributions[0][second & 0xFFU];
    }
    for (const std::byte byte : bytes) sum_ = with(sum_, std::to_integer<std::uint8_t>(byte));
  }

  [[nodiscard]] std::uint64_t size() const { return size_; }

  [[nodiscard]] std::uint32_t value() const {
    std::uint32_t sum = sum_;
    for (std::uint64_t rest = size_; rest != 0; rest >>= 8U) sum = with(sum, static_cast<std::uint8_t>(rest));
    return ~sum;
  }

 private:
  static std::uint32_t with(std::uint32_t sum, std::uint8_t byte) {
    return (sum << 8U) ^ contributions[0][sum >> 24U ^ byte];
  }
  static std::uint32_t word(std::span<const std::byte> bytes) {
    return std::to_integer<std::uint32_t>(bytes[0]) << 24U | std::to_integer<std::uint32_t>(bytes[1]) << 16U |
           std::to_integer<std::uint32_t>(bytes[2]) << 8U | std::to_integer<std::uint32_t>(bytes[3]);
  }

  std::uint32_t sum_ = 0;
  std::uint64_t size_ = 0;
};

/// A file of the tree, and what has become of it.
struct entry {
  fs::path path;
  bool is_done = false;
  checksum sum{};
  std::string error{};  // empty if all went well
};

/// Adds all regular files below a directory, and the directories that cannot be listed.
void find_files(const fs::path& directory, std::vector<entry>& found) {
  std::error_code error;
  for (fs::directory_iterator at(directory, error); !error && at != fs::directory_iterator(); at.increment(error)) {
    const fs::file_type type = at->symlink_status(error).type();
    if (type == fs::file_type::directory) find_files(at->path(), found);
    if (type == fs::file_type::regular) found.push_back({.path = at->path()});
  }
  if (error)
    found.push_back(
        {.path = directory, .is_done = true, .error = "listing " + directory.string() + ": " + error.message()});
}

/// Scans the files with several threads, and prints the results from the caller's.
class scanner {
 public:
  explicit scanner(std::vector<entry> entries) : entries_(std::move(entries)) {}

  /// For any number of threads at the same time, with a queue each: scans files until none is left.
  void work(queue_type& queue) {
    for (std::size_t i = 0; (i = next_++) < entries_.size();) {
      entry& its = entries_[i];
      if (!its.error.empty()) continue;  // a directory
      checksum sum;
      std::string error;
      try {
        sum = scan(queue, its.path);
      } catch (const std::exception& thrown) {
        error = thrown.what();
      }
      const std::lock_guard lock(mutex_);
      its.sum = sum;
      its.error = std::move(error);
      its.is_done = true;
      changed_.notify_one();
    }
  }

  /// Prints each result when its turn has come. Returns whether all went well.
  bool print() {
    progress line{::isatty(STDOUT_FILENO) == 0};
    bool is_good = true;
    const auto check = [](bool is_written) {
      if (!is_written) throw std::system_error(errno, std::system_category(), "writing to stdout");
    };
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const entry& its = entries_[i];
      std::unique_lock lock(mutex_);
      do line.show(i, entries_.size(), ("files, " + std::to_string(bytes_done_ >> 20U) + " MiB").c_str());
      while (!changed_.wait_for(lock, std::chrono::milliseconds{100}, [&] { return its.is_done; }));
      lock.unlock();
      if (its.error.empty()) {
        const auto size = static_cast<unsigned long long>(its.sum.size());
        check(std::printf("%u %llu %s\n", its.sum.value(), size, its.path.c_str()) >= 0);
      } else {
        is_good = false;
        line.erase();
        std::fprintf(stderr, "scan: %s\n", its.error.c_str());
      }
    }
    check(std::fflush(stdout) == 0);
    return is_good;
  }

 private:
  checksum scan(queue_type& queue, const fs::path& path) {
    // Large files would drive everything else out of the page cache. Small ones may well be in it.
    std::error_code ignored;
    const bool is_large = fs::file_size(path, ignored) > std::uint64_t{4} << 20U;
    const auto mode = is_large ? asioq::direct_io::preferred : asioq::direct_io::off;
    const asioq::file in = asioq::file::open_for_reading(path, mode);
    // The end is known, so it need not be looked for with one more read. Files in /proc do not know theirs.
    const std::uint64_t size = in.size();
    asioq::reader source{queue, in, size == 0 ? asioq::reader_options{} : asioq::reader_options{.length = size}};
    checksum sum;
    for (std::span<const std::byte> block = source.next(); !block.empty(); block = source.next()) {
      sum.add(block);
      bytes_done_ += block.size();
    }
    return sum;
  }

  std::vector<entry> entries_;       // each is written by the thread that scans it, and until it is done by no other
  std::mutex mutex_;                 // protects what changes in the entries
  std::condition_variable changed_;  // one more entry is done
  std::atomic<std::size_t> next_ = 0;
  std::atomic<std::uint64_t> bytes_done_ = 0;
};

}  // namespace

int main(int argc, char** argv) try {
  std::size_t threads = std::max(8U, std::thread::hardware_concurrency());
  int option = 0;
  while ((option = ::getopt(argc, argv, "j:")) == 'j') threads = number_in(optarg);
  if (option != -1 || threads == 0 || threads > 1024 || optind == argc) {
    std::fprintf(stderr, "usage: scan [-j THREADS] FILE_OR_DIRECTORY...\n");
    return 2;
  }
  std::vector<entry> entries;
  for (int i = optind; i < argc; ++i) {
    std::error_code ignored;  // what is no directory is a file, and reported if it is none
    if (fs::is_directory(argv[i], ignored)) {
      find_files(argv[i], entries);
    } else {
      entries.push_back({.path = argv[i]});
    }
  }
  std::ranges::sort(entries, {}, [](const entry& its) -> const std::string& { return its.path.native(); });

  asioq::thread_pool pool{threads};
  asioq::huge_page_resource memory;
  const asioq::queue_options options{.buffer_size = 256 << 10, .order = asioq::execution_order::as_if_serial};
  std::deque<queue_type> queues;
  while (queues.size() < threads) queues.emplace_back(pool.executor(), options, &memory);
  scanner its{std::move(entries)};
  std::vector<std::jthread> workers;
  workers.reserve(threads);
  for (queue_type& each : queues) workers.emplace_back([&its, &each] { its.work(each); });
  return its.print() ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "scan: %s\n", error.what());
  return 1;
}
