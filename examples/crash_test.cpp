// Shows how to test a program against power cuts: a log of records, its two classic mistakes, and the test that finds
// them, on a disk in memory. With a mistake's name and a seed it shows that one run.
#include <asioq/asioq.hpp>
#include <asioq/testing/simulated_disk.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

enum class mistake {
  none,
  no_sync,      // a record is acknowledged before it is durable
  header_first  // the header says that there is a record before the record is durable
};

/// The program under test: a file of records, and a header that says how many there are. It takes the type of its
/// queue, so that it runs on `asio_queue` in earnest.
template <class Queue>
class record_log {
 public:
  static constexpr std::size_t record_size = 700;
  static constexpr std::uint64_t first_record = 512;  // the header has a sector of its own, which is written as a whole

  record_log(Queue& queue, int fd, mistake its) : queue_(queue), fd_(fd), mistake_(its) {
    const std::string header = read(0, sizeof count_);
    if (header.size() == sizeof count_) std::memcpy(&count_, header.data(), sizeof count_);
  }

  /// Returns when the record is durable. Throws `std::system_error` if it may not be.
  void append(std::string_view record) {
    // The queue keeps the order, so all of this is submitted at once.
    if (mistake_ == mistake::header_first) write_header(count_ + 1);
    write(record, place_of(count_));
    if (mistake_ != mistake::no_sync) sync();
    if (mistake_ != mistake::header_first) {
      write_header(count_ + 1);
      if (mistake_ != mistake::no_sync) sync();
    }
    wait_for_all();
    ++count_;
  }

  [[nodiscard]] std::uint64_t size() const { return count_; }
  [[nodiscard]] std::string at(std::uint64_t number) { return read(place_of(number), record_size); }

 private:
  static std::uint64_t place_of(std::uint64_t number) { return first_record + number * record_size; }

  void write_header(std::uint64_t count) { write({reinterpret_cast<const char*>(&count), sizeof count}, 0); }

  void write(std::string_view data, std::uint64_t place) {
    asioq::asio_request request = queue_.get();
    std::ranges::transform(data, request.buffer().begin(), [](char c) { return std::byte(c); });
    request.prepare_write(fd_, data.size(), place);
    queue_.submit(std::move(request));
  }

  void sync() {
    asioq::asio_request request = queue_.get();
    request.prepare_fdatasync(fd_);
    queue_.submit(std::move(request));
  }

  std::string read(std::uint64_t place, std::size_t length) {
    asioq::asio_request request = queue_.get();
    request.prepare_read(fd_, length, place);
    queue_.submit(std::move(request));
    request = queue_.wait();
    if (request.error()) throw std::system_error(request.error());
    return {reinterpret_cast<const char*>(request.data().data()), request.data().size()};
  }

  void wait_for_all() {
    std::error_code error;
    while (const asioq::asio_request done = queue_.wait())
      if (!error) error = done.error();
    if (error) throw std::system_error(error);
  }

  Queue& queue_;
  int fd_;
  mistake mistake_;
  std::uint64_t count_ = 0;
};

using asioq::testing::simulated_disk;
using disk_queue = asioq::basic_asio_queue<simulated_disk::executor_type>;

/// If a write fails, the header behind it must not be written.
const asioq::queue_options options{.buffer_size = 4096, .on_failure = asioq::failure_policy::hold};

std::string record(std::uint64_t number) {
  std::string text;
  text.resize(record_log<disk_queue>::record_size, static_cast<char>('a' + number % 26));
  return text;
}

/// One run: the program appends records until the power fails, and starts again. Returns what is wrong then.
std::string run(simulated_disk& disk, mistake its) {
  constexpr std::uint64_t records = 6;
  disk.crash_after(disk.options().seed % (records * 5));
  std::uint64_t acknowledged = 0;
  try {
    disk_queue queue{disk.executor(), options};
    record_log log(queue, disk.open("log"), its);
    for (; acknowledged < records; ++acknowledged) log.append(record(acknowledged));
  } catch (const std::system_error&) {
    if (disk.power_cuts() == 0) throw;
  }
  if (disk.power_cuts() == 0) disk.crash();

  disk_queue queue{disk.executor(), options};
  record_log log(queue, disk.open("log"), its);
  if (log.size() < acknowledged)
    return "there are " + std::to_string(log.size()) + " records, " + std::to_string(acknowledged) +
           " were acknowledged";
  for (std::uint64_t i = 0; i < log.size(); ++i)
    if (log.at(i) != record(i)) return "record " + std::to_string(i) + " is not what was appended";
  return {};
}

/// The first seed that shows the mistake; 0 if none up to `seeds` does.
std::uint64_t search(mistake its, std::uint64_t seeds) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    simulated_disk disk{{.seed = seed, .keeps_log = false}};
    if (!run(disk, its).empty()) return seed;
  }
  return 0;
}

/// Shows a run. Returns whether it has shown the mistake.
bool show(mistake its, std::uint64_t seed) {
  simulated_disk disk{{.seed = seed}};
  const std::string wrong = run(disk, its);
  for (const std::string& line : disk.log()) std::printf("  %s\n", line.c_str());
  std::printf("  %s\n", wrong.empty() ? "nothing is lost" : wrong.c_str());
  return !wrong.empty();
}

struct variant {
  const char* name;
  mistake its;
};
constexpr variant variants[] = {
    {"none", mistake::none}, {"no-sync", mistake::no_sync}, {"header-first", mistake::header_first}};

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 3) {
    for (const auto& [name, its] : variants)
      if (std::string_view(name) == argv[1])
        return show(its, std::strtoull(argv[2], nullptr, 10)) == (its != mistake::none) ? 0 : 1;
  }
  if (argc != 1) {
    std::fprintf(stderr, "usage: crash_test [none|no-sync|header-first SEED]\n");
    return 2;
  }
  bool is_right = true;
  for (const auto& [name, its] : variants) {
    const auto begin = std::chrono::steady_clock::now();
    const std::uint64_t seed = search(its, 2000);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    std::printf("%s: ", name);
    if (seed == 0)
      std::printf("2000 power cuts have lost nothing (%.2f s)\n", time.count());
    else
      std::printf("found by seed %llu (%.3f s)\n", static_cast<unsigned long long>(seed), time.count());
    if (seed != 0 && its != mistake::none) show(its, seed);
    is_right = is_right && (seed == 0) == (its == mistake::none);
  }
  if (!is_right) std::fprintf(stderr, "crash_test: a mistake was not found, or one that is none\n");
  return is_right ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "crash_test: %s\n", error.what());
  return 1;
}
