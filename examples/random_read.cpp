// A small fio: reads random blocks of a file or a disk, many at a time, and says how fast that was.
//
// One function, measure(), on whatever executor is asked for. Latency is the time from submit() until wait() returned
// the read. Reads come back in the order of their submission: so it includes the wait for older ones that take longer.
#include <asioq/asioq.hpp>
#ifdef WITH_URING
#include <asioq/uring.hpp>
#endif

#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;
using asioq::execution_order;

constexpr const char* usage = R"(usage: random_read FILE [OPTION...]
  --depth N        reads submitted at a time, 1 to 32768 (32)
  --engine E       uring: io_uring; pool: a thread for each read, at most 64; inline: no thread at all;
                   auto: io_uring if it works here, else the pool of all asioq queues (auto)
  --order O        as-if-serial: many reads in the kernel; strict: one after another (as-if-serial)
  --block BYTES    of each read (4096); k, M, G after a number are 1024, ...
  --seconds S      how long (5, if there is no --count)
  --count N        how many reads, if that comes first
  --buffered       through the page cache, without O_DIRECT
Latency is from submit() until wait() returned the read, waiting for older reads included.
)";

constexpr std::uint64_t unlimited = std::numeric_limits<std::int64_t>::max();
constexpr double forever = 1e9;  // seconds

struct settings {
  std::string path;
  std::string engine = "auto";
  execution_order order = execution_order::as_if_serial;
  std::size_t depth = 32;
  std::size_t block = 4096;
  std::uint64_t count = unlimited;
  double seconds = forever;
  bool direct = true;
  bool help = false;
};

/// A mistake in the command line.
struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::uint64_t number(std::string_view option, const std::string& text, std::uint64_t most) {
  constexpr std::string_view units = "kMG";
  const char* const end = text.data() + text.size();
  std::uint64_t value = 0;
  std::uint64_t factor = 1;
  auto [rest, error] = std::from_chars(text.data(), end, value);
  if (rest != end && units.find(*rest) != std::string_view::npos) factor = 1ULL << (10 * (units.find(*rest++) + 1));
  if (error != std::errc() || rest != end || value == 0 || value > most / factor)
    throw usage_error("--" + std::string(option) + " wants a number from 1 to " + std::to_string(most));
  return value * factor;
}

double seconds_in(const std::string& text) {
  char* rest = nullptr;
  const double value = std::strtod(text.c_str(), &rest);
  if (*rest != '\0' || !(value > 0 && value <= forever)) throw usage_error("--seconds wants a number above 0");
  return value;
}

execution_order order_named(std::string_view name) {
  if (name == "strict") return execution_order::strict;
  if (name == "as-if-serial") return execution_order::as_if_serial;
  throw usage_error("--order is strict or as-if-serial");
}

void apply(settings& its, std::string_view option, const std::string& value) {
  if (option == "help") its.help = true;
  if (option == "buffered") its.direct = false;
  if (option == "engine") its.engine = value;
  if (option == "depth") its.depth = number(option, value, 32768);
  if (option == "block") its.block = number(option, value, 1U << 30U);
  if (option == "count") its.count = number(option, value, unlimited);
  if (option == "seconds") its.seconds = seconds_in(value);
  if (option == "order") its.order = order_named(value);
}

settings parse(int argc, char** argv) {
  constexpr int with_value = required_argument;
  constexpr std::array<::option, 9> options{{{"depth", with_value, nullptr, 0},
                                             {"engine", with_value, nullptr, 0},
                                             {"order", with_value, nullptr, 0},
                                             {"block", with_value, nullptr, 0},
                                             {"seconds", with_value, nullptr, 0},
                                             {"count", with_value, nullptr, 0},
                                             {"buffered", no_argument, nullptr, 0},
                                             {"help", no_argument, nullptr, 0},
                                             {nullptr, 0, nullptr, 0}}};
  settings its;
  int index = 0;
  for (int found = 0; (found = ::getopt_long(argc, argv, "", options.data(), &index)) != -1;) {
    if (found != 0) throw usage_error("bad options");  // getopt_long has said which
    const std::string_view option = options.at(static_cast<std::size_t>(index)).name;
    apply(its, option, optarg == nullptr ? "" : optarg);
  }
  if (its.help) return its;
  if (argc - optind != 1) throw usage_error(argc == optind ? "which file?" : "one file only, please");
  its.path = argv[optind];
  if (its.seconds == forever && its.count == unlimited) its.seconds = 5;
  return its;
}

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::system_category(), what);
}
[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

/// What O_DIRECT wants of offsets and lengths: to be multiples of this. 0 if there is no O_DIRECT for the file.
std::size_t direct_alignment(int fd) {
#ifdef STATX_DIOALIGN
  struct statx answer{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &answer) == 0 && (answer.stx_mask & STATX_DIOALIGN) != 0)
    return answer.stx_dio_offset_align;
#endif
  return 512;  // the kernel does not tell: the least that makes sense, and it may refuse the reads
}

/// Opens the file, for as long as the program runs. Returns the descriptor, and how many whole blocks there are.
std::pair<int, std::uint64_t> open_file(const settings& its) {
  // Non-blocking, so that a fifo is seen and refused.
  const int fd = ::open(its.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status{};
  if (fd < 0 || ::fstat(fd, &status) != 0) fail(errno, its.path);
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) fail(its.path + ": neither a regular file nor a disk");
  const off_t size = ::lseek(fd, 0, SEEK_END);  // of a disk also
  if (size < 0) fail(errno, its.path + ": its size");
  const std::uint64_t blocks = static_cast<std::uint64_t>(size) / its.block;
  if (blocks == 0)
    fail(its.path + ": " + std::to_string(size) + " bytes, less than a block of " + std::to_string(its.block));

  const std::size_t alignment = its.direct ? direct_alignment(fd) : 1;
  // This makes it blocking again, too: otherwise io_uring may answer EAGAIN.
  if (alignment == 0 || ::fcntl(fd, F_SETFL, its.direct ? O_DIRECT : 0) != 0)
    fail(its.path + ": O_DIRECT does not work here; try --buffered");
  if (its.block % alignment != 0)
    fail(its.path + ": with O_DIRECT --block must be a multiple of " + std::to_string(alignment) +
         "; or use --buffered");
  return {fd, blocks};
}

/// Durations, each in a bucket no wider than 1/64 of it: in a fixed amount of memory, however many there are.
class histogram {
 public:
  void add(clock_type::duration duration) {
    const auto n = static_cast<std::uint64_t>(std::chrono::nanoseconds(duration).count());
    const auto bits = static_cast<unsigned>(std::bit_width(n));
    const unsigned shift = bits < 7 ? 0 : bits - 7;
    ++buckets_[64ULL * shift + (n >> shift)];
    ++count_;
    least_ = std::min(least_, n);
    most_ = std::max(most_, n);
  }

  /// In microseconds: not exceeded by that share of all durations. 0 for the shortest, 1 for the longest.
  [[nodiscard]] double quantile(double share) const {
    if (share <= 0) return static_cast<double>(least_) / 1000;
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(count_));
    std::size_t bucket = 0;
    for (std::uint64_t seen = buckets_[0]; seen <= wanted && seen < count_;) seen += buckets_[++bucket];
    const std::size_t shift = bucket < 128 ? 0 : bucket / 64 - 1;
    const std::uint64_t end = ((bucket - shift * 64 + 1) << shift) - 1;
    return static_cast<double>(std::min(end, most_)) / 1000;
  }

  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  std::array<std::uint64_t, std::size_t{58} * 64 + 64> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t least_ = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t most_ = 0;
};

volatile std::sig_atomic_t interrupted = 0;

/// Like "12345 reads in 1.000 s: 12345 IOPS, 48.2 MiB/s".
void print_rate(std::FILE* to, std::uint64_t reads, clock_type::duration time, std::size_t block) {
  const double seconds = std::chrono::duration<double>(time).count();
  const double rate = static_cast<double>(reads) / seconds;
  std::fprintf(to, "%llu reads in %.3f s: %.0f IOPS, %.1f MiB/s", static_cast<unsigned long long>(reads), seconds, rate,
               rate * static_cast<double>(block) / (1 << 20));
}

/// One line, written again and again, where a person is watching.
struct progress {
  const bool is_watched = ::isatty(STDERR_FILENO) == 1;
  clock_type::time_point next{};

  void show(std::uint64_t reads, clock_type::time_point start, clock_type::time_point now, std::size_t block) {
    if (!is_watched || now < next) return;
    next = now + std::chrono::milliseconds(200);
    std::fputs("\r\033[K", stderr);
    print_rate(stderr, reads, now - start, block);
  }
  ~progress() {
    if (is_watched) std::fputs("\r\033[K", stderr);
  }
};

[[noreturn]] void fail(const asioq::asio_request& done, const settings& its) {
  const std::string where = its.path + ": at offset " + std::to_string(done.offset());
  if (!done.error()) fail(where + ": the file has become shorter");
  if (done.error() != std::errc::invalid_argument || !its.direct) fail(done.error().value(), where);
  fail(where + ": O_DIRECT is refused; try a larger --block, or --buffered");
}

/// Reads until it is time to end; returns how long it took, and adds what each read took to the latencies.
template <class Queue>
clock_type::duration read_blocks(Queue& queue, int fd, std::uint64_t blocks, const settings& its,
                                 histogram& latencies) {
  std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<std::uint64_t> any_block(0, blocks - 1);
  std::vector<clock_type::time_point> submitted_at(its.depth);  // a ring: reads come back in the order of submission
  std::uint64_t submitted = 0;
  const auto submit = [&](asioq::asio_request request) {
    request.prepare_read(fd, its.block, any_block(random) * its.block);
    submitted_at[submitted++ % its.depth] = clock_type::now();
    queue.submit(std::move(request));
  };

  progress line;
  const auto start = clock_type::now();
  const auto end = start + std::chrono::duration_cast<clock_type::duration>(std::chrono::duration<double>(its.seconds));
  auto now = start;
  const auto goes_on = [&] { return submitted < its.count && now < end && interrupted == 0; };
  for (std::size_t i = 0; i < its.depth && goes_on(); ++i, now = clock_type::now()) submit(queue.get());
  while (asioq::asio_request done = queue.wait()) {
    now = clock_type::now();
    if (done.error() || done.bytes_transferred() < its.block) fail(done, its);
    latencies.add(now - submitted_at[done.sequence() % its.depth]);
    line.show(latencies.count(), start, now, its.block);
    if (goes_on()) submit(std::move(done));  // into the same buffer
  }
  return now - start;
}

/// The whole measurement, on any executor. Returns the status of the program.
template <asioq::queue_executor Executor>
int measure(const Executor& executor, const std::string& engine, const settings& its) {
  const auto [fd, blocks] = open_file(its);
  asioq::basic_asio_queue<Executor> queue{executor,
                                          {.buffer_size = its.block, .order = its.order, .max_in_flight = its.depth}};
  std::printf("%s: %llu blocks of %zu bytes, %s\nengine: %s; order: %s; depth: %zu\n", its.path.c_str(),
              static_cast<unsigned long long>(blocks), its.block, its.direct ? "O_DIRECT" : "buffered", engine.c_str(),
              its.order == execution_order::strict ? "strict, one read at a time" : "as if serial", its.depth);
  std::fflush(stdout);

  histogram latencies;
  const clock_type::duration time = read_blocks(queue, fd, blocks, its, latencies);
  if (interrupted != 0) std::printf("interrupted, after ");
  print_rate(stdout, latencies.count(), time, its.block);
  std::printf("\nlatency in µs, from submit() until wait() returned the read:\n");
  for (const char* name : {"min", "p50", "p90", "p99", "p99.9", "max"}) std::printf("%10s", name);
  std::printf("\n");
  for (const double share : {0.0, 0.5, 0.9, 0.99, 0.999, 1.0}) std::printf("%10.1f", latencies.quantile(share));
  std::printf("\n");
  return interrupted == 0 ? 0 : 130;
}

int run(const settings& its) {
  const auto depth = static_cast<unsigned>(its.depth);
  if (its.engine == "inline") return measure(asioq::inline_executor{}, "inline, one read at a time", its);
  if (its.engine == "pool") {
    asioq::thread_pool pool{std::min(depth, 64U)};
    return measure(pool.executor(), "pool of " + std::to_string(pool.size()) + " threads", its);
  }
#ifdef WITH_URING
  if (its.engine == "uring") {
    asioq::uring_context ring{depth};  // throws if the kernel or the administrator is against it
    return measure(ring.executor(), "io_uring", its);
  }
  if (its.engine == "auto") {
    asioq::uring_or_pool either{depth};
    return measure(either.executor(),
                   either.uses_uring() ? "io_uring" : "default pool (io_uring: " + either.reason().message() + ")",
                   its);
  }
#else
  if (its.engine == "uring") fail("io_uring is not built in: that needs liburing");
  if (its.engine == "auto") return measure(asioq::default_executor{}, "default pool (io_uring is not built in)", its);
#endif
  throw usage_error("--engine is uring, pool, inline or auto, not " + its.engine);
}

}  // namespace

int main(int argc, char** argv) try {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // a second Ctrl-C ends it at once
  ::sigaction(SIGINT, &action, nullptr);
  const settings its = parse(argc, argv);
  if (its.help) return std::fputs(usage, stdout) < 0 ? 1 : 0;
  return run(its);
} catch (const usage_error& error) {
  std::fprintf(stderr, "random_read: %s (--help shows all options)\n", error.what());
  return 2;
} catch (const std::bad_alloc&) {
  std::fprintf(stderr, "random_read: there is not enough memory for these buffers\n");
  return 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "random_read: %s\n", error.what());
  return 1;
}
