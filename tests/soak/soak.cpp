// soak [SECONDS]: many queues on many threads, with faults, made and destroyed all the time; on thread pools and on
// io_uring. Handles, stop tokens and whole queues go from thread to thread. Prints how much memory, how many
// descriptors and how many threads the process has, and fails if these are not flat: see levels.hpp.
//
// It works in rounds of equal work. After each round all threads have been joined and all queues are gone, so what is
// then still in use should be what was in use before: that is what is measured.
//
// ASIOQ_SEED chooses what is done. ASIOQ_SOAK_LEAK=memory, descriptor or thread loses one of these now and then: a soak
// that does not find that would be of no use.
#include <asioq/asioq.hpp>
#ifdef ASIOQ_TEST_URING
#include <asioq/testing/faults.hpp>
#include <asioq/uring.hpp>
#endif

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "../support/coroutines.hpp"
#include "../support/counting_new.hpp"
#include "../support/files.hpp"
#include "../support/threads.hpp"
#include "levels.hpp"

using asioq::asio_op;
using asioq::asio_request;
using asioq_test::descriptor;
using asioq_test::live_bytes;
using asioq_test::owned_task;

namespace asioq_soak {

namespace {

constexpr std::size_t workers = 4;
constexpr int lives_of_a_worker = 60;  // in a round
constexpr std::size_t block_size = 512;
constexpr std::size_t blocks = 24;

void must(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "soak: this must not be: %s\n", what);
  std::abort();
}

std::size_t entries_of(const char* folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// What the whole run has done.
struct tally {
  std::atomic<std::uint64_t> queues = 0;
  std::atomic<std::uint64_t> submitted = 0;
  std::atomic<std::uint64_t> failed = 0;
  std::atomic<std::uint64_t> cancelled = 0;
  std::atomic<std::uint64_t> refused = 0;
  std::atomic<std::size_t> most_descriptors = 0;
  std::atomic<std::size_t> most_threads = 0;
  std::atomic<long> most_bytes = 0;
};

template <class T>
void raise(std::atomic<T>& most, T value) {
  T seen = most.load();
  while (seen < value && !most.compare_exchange_weak(seen, value)) {
  }
}

/// A queue with its executor and files, while it lives.
class life {
 public:
  virtual ~life() = default;
  /// Does something; on one thread at a time.
  virtual void go_on(int steps) = 0;
  /// Waits for all, and compares.
  virtual void finish() = 0;
};

/// What the threads hand to each other.
class exchange {
 public:
  void give(asio_request request) {
    const std::lock_guard lock(mutex_);
    if (requests_.size() < 64) requests_.push_back(std::move(request));
  }
  void give(std::unique_ptr<life> queue) {
    const std::lock_guard lock(mutex_);
    queues_.push_back(std::move(queue));
  }
  void give(std::stop_source stop) {
    const std::lock_guard lock(mutex_);
    stops_.push_back(std::move(stop));
  }
  asio_request take_request() { return take(requests_); }
  std::unique_ptr<life> take_queue() { return take(queues_); }
  std::optional<std::stop_source> take_stop() {
    const std::lock_guard lock(mutex_);
    if (stops_.empty()) return std::nullopt;
    std::stop_source one = std::move(stops_.back());
    stops_.pop_back();
    return one;
  }

 private:
  template <class T>
  T take(std::vector<T>& from) {
    const std::lock_guard lock(mutex_);
    if (from.empty()) return {};
    T one = std::move(from.front());
    from.erase(from.begin());
    return one;
  }

  std::mutex mutex_;  // protects all below
  std::vector<asio_request> requests_;
  std::vector<std::unique_ptr<life>> queues_;
  std::vector<std::stop_source> stops_;
};

/// Hands tasks to a pool, and refuses one in 16.
struct moody_executor {
  asioq::thread_pool::executor_type inner;
  std::atomic<unsigned>* count;

  void execute(asioq::task work) const {
    if (count->fetch_add(1, std::memory_order_relaxed) % 16 == 15)
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again), "moody");
    inner.execute(work);
  }
  bool operator==(const moody_executor&) const = default;
};

/// `Engine` is what the executor belongs to, and goes after the queue.
template <class Engine, class Executor>
class life_on final : public life {
  using queue_type = asioq::basic_asio_queue<Executor>;

  class receiver final : public asioq::completion {
   public:
    explicit receiver(life_on& its) : its_(its) {}
    void finished(asio_request request) noexcept override { its_.delivered(std::move(request)); }

   private:
    life_on& its_;
  };

  struct talk {
    std::stop_source stop;
    std::optional<owned_task> task;
  };

 public:
  life_on(std::unique_ptr<Engine> engine, Executor executor, std::uint64_t seed, exchange& others, tally& all)
      : engine_(std::move(engine)), random_(seed), others_(others), all_(all), gets_(*this) {
    file_ = descriptor{::memfd_create("soak", MFD_CLOEXEC)};
    read_only_ = asioq_test::reopen(file_, O_RDONLY);
    full_ = asioq_test::open_path("/dev/full", O_RDWR);
    broken_pipe_.read_end.reset();
    asioq::queue_options options;
    options.buffer_size = below(2) == 0 ? block_size : 64 * block_size;
    options.max_writebacks = 1 + below(8);
    options.order = below(2) == 0 ? asioq::execution_order::strict : asioq::execution_order::as_if_serial;
    options.max_in_flight = 1 + below(16);
    options.on_failure = below(4) == 0 ? asioq::failure_policy::hold : asioq::failure_policy::proceed;
    options.max_requests = below(2) == 0 ? 0 : 24;
    options.on_lost_failure = [this](asio_request& request) {
      look_at(request);
      if (below(2) == 0) others_.give(std::move(request));
    };
    queue_.emplace(std::move(executor), options);
    ++all_.queues;
  }

  ~life_on() override {
    queue_.reset();
    for (const std::unique_ptr<talk>& one : talks_)
      must(one->task->is_done(), "a coroutine waits for a queue that is gone");
  }

  void go_on(int steps) override {
    for (; steps > 0; --steps) {
      try {
        step();
      } catch (const asioq::write_back_error&) {
        while (asio_request done = queue_->wait()) came_back(std::move(done));
        queue_->resume();
      } catch (const std::system_error& refusal) {
        must(refusal.code() == std::errc::resource_unavailable_try_again, refusal.what());
        ++all_.refused;
      }
      must(queue_->running_writebacks() <= queue_->options().max_writebacks, "too many write-backs");
    }
  }

  void finish() override {
    if (below(4) == 0) queue_->cancel();
    do {
      while (asio_request done = queue_->wait()) came_back(std::move(done));
    } while (queue_->run_one() != 0);
    must(queue_->running_requests() == 0, "something runs when all has come back");
    must(entered_ == left_, "a request has not come back, or has come back twice");
  }

 private:
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(random_() % limit); }

  void step() {
    switch (below(24)) {
      case 0:
        return came_back(queue_->wait());
      case 1:
        return came_back(queue_->wait_for(std::chrono::microseconds(below(50))));
      case 2:
        return queue_->sync();
      case 3:
        return queue_->resume();
      case 4:
        return below(8) == 0 ? queue_->cancel() : queue_->shrink_to_fit();
      case 5:
        static_cast<void>(queue_->run_one());
        return;
      case 6:
      case 7:
        static_cast<void>(queue_->poll());
        return;
      case 8:
        static_cast<void>(queue_->native_handle());
        return;
      case 9:
        others_.take_request();  // destroys it, here, whichever queue it is of
        if (std::optional<std::stop_source> stop = others_.take_stop()) stop->request_stop();
        return;
      case 10:
        if (!talks_.empty()) talks_.pop_back();  // waiting or not
        return;
      case 11:
      case 12:
        came_back(queue_->try_wait());
        [[fallthrough]];
      default:
        return submit_something();
    }
  }

  void submit_something() {
    asio_request request = queue_->try_get();
    if (!request) return came_back(queue_->wait());
    prepare(request);
    const asio_op op = request.op();
    const std::size_t way = below(8);
    if (way == 7 && op != asio_op::close) return converse(std::move(request));
    try {
      if (way >= 5)
        queue_->submit(std::move(request), gets_);
      else
        queue_->submit(std::move(request));
    } catch (...) {
      if (op == asio_op::close) ::close(request.fd());  // NOLINT(bugprone-use-after-move): submit() has not taken it
      throw;
    }
    if (way >= 5 || op != asio_op::write_back) ++entered_;
    ++all_.submitted;
  }

  void prepare(asio_request& request) {
    const std::size_t block = below(blocks);
    const std::uint64_t place = block * block_size;
    std::fill_n(request.buffer().begin(), block_size, byte_of(block));
    switch (below(32)) {
      case 0:
        return request.prepare_write_back(full_.get(), block_size, 0);
      case 1:
        return request.prepare_write(read_only_.get(), block_size, 0);
      case 2:
        return request.prepare_write(broken_pipe_.write_end.get(), 1);
      case 3:
        return request.prepare_close(::dup(file_.get()));
      case 4:
        return request.prepare_fsync(file_.get());
      case 5:
        return request.prepare_fdatasync(read_only_.get());
      case 6:
        return request.prepare_truncate(file_.get(), place);
      case 7:
        return request.prepare_allocate(file_.get(), block_size, place);
      default:
        break;
    }
    const std::size_t kind = below(3);
    if (kind == 0) return request.prepare_read(below(2) == 0 ? file_.get() : read_only_.get(), block_size, place);
    if (kind == 1) return request.prepare_write(file_.get(), block_size, place);
    request.prepare_write_back(file_.get(), block_size, place);
  }

  /// What is in a block, once it has been written.
  static std::byte byte_of(std::size_t block) { return static_cast<std::byte>(block + 1); }

  void converse(asio_request request) {
    std::erase_if(talks_, [](const auto& one) { return one->task->is_done(); });
    talk& fresh = *talks_.emplace_back(std::make_unique<talk>());
    if (below(2) == 0) others_.give(fresh.stop);
    fresh.task.emplace(talk_about(std::move(request), fresh.stop.get_token(), below(3)));
  }

  owned_task talk_about(asio_request request, std::stop_token stop, std::size_t rounds) {
    for (;; --rounds) {
      try {
        request = co_await queue_->async_submit(std::move(request), stop);
      } catch (const std::system_error& refusal) {
        must(refusal.code() == std::errc::resource_unavailable_try_again, refusal.what());
        ++all_.refused;
        break;
      }
      ++all_.submitted;
      look_at(request);
      if (rounds == 0 || is_closing()) break;
    }
    pass_on(std::move(request));
  }

  [[nodiscard]] bool is_closing() const { return !queue_.has_value(); }

  void delivered(asio_request request) {
    ++left_;
    look_at(request);
    pass_on(std::move(request));
  }

  void came_back(asio_request request) {
    if (!request) return;
    if (request.op() != asio_op::write_back) ++left_;
    must(request.op() != asio_op::write_back || request.error(), "a write-back that succeeded comes back");
    look_at(request);
    pass_on(std::move(request));
  }

  void look_at(const asio_request& request) {
    if (request.error() == std::errc::operation_canceled)
      ++all_.cancelled;
    else if (request.error())
      ++all_.failed;
    if (request.op() == asio_op::close && request.error() == std::errc::operation_canceled) ::close(request.fd());
    if (!asioq::traits_of(request.op()).transfers || request.offset() == asioq::current_position) return;
    const auto block = static_cast<std::size_t>(request.offset() / block_size);
    const bool may_be_zero = request.op() == asio_op::read;
    for (const std::byte one : request.data())
      must(one == byte_of(block) || (may_be_zero && one == std::byte{0}), "a request has the data of another");
  }

  /// Recycles it here, or on another thread.
  void pass_on(asio_request request) {
    if (below(4) == 0) others_.give(std::move(request));
  }

  std::unique_ptr<Engine> engine_;
  std::mt19937_64 random_;
  exchange& others_;
  tally& all_;
  descriptor file_;
  descriptor read_only_;
  descriptor full_;
  asioq_test::pipe_ends broken_pipe_;
  receiver gets_;
  std::vector<std::unique_ptr<talk>> talks_;
  std::optional<queue_type> queue_;
  std::uint64_t entered_ = 0;  // that have to come back: all but write-backs without a receiver, and coroutines
  std::uint64_t left_ = 0;     // that have
};

struct nothing {};

struct own_pool {
  asioq::thread_pool pool{1};
};

#ifdef ASIOQ_TEST_URING
struct flawed_ring {
  asioq::uring_context ring{8};
  asioq::testing::faults<asioq::uring_context::executor_type> flawed;

  explicit flawed_ring(std::uint64_t seed)
      : flawed(ring.executor(), {.seed = seed, .errors = 0.02, .short_transfers = 0.25, .interruptions = 0.1}) {}
};
#endif

/// What one round has for all its threads.
struct round {
  asioq::thread_pool pool{2};
  std::atomic<unsigned> tasks = 0;
  exchange others;
};

std::unique_ptr<life> make_life(round& its, std::mt19937_64& random, tally& all, bool has_rings) {
  const std::uint64_t seed = random();
  const auto make = [&]<class Engine, class Executor>(std::unique_ptr<Engine> engine, Executor executor) {
    return std::make_unique<life_on<Engine, Executor>>(std::move(engine), std::move(executor), seed, its.others, all);
  };
#ifdef ASIOQ_TEST_URING
  if (has_rings && random() % 2 == 0) {
    if (random() % 2 == 0) {
      auto engine = std::make_unique<flawed_ring>(seed);
      const auto executor = engine->flawed.executor();
      return make(std::move(engine), executor);
    }
    auto engine = std::make_unique<asioq::uring_context>(8);
    const auto executor = engine->executor();
    return make(std::move(engine), executor);
  }
#endif
  switch (random() % 4) {
    case 0:
      return make(std::make_unique<nothing>(), asioq::default_executor());
    case 1: {
      auto engine = std::make_unique<own_pool>();
      const auto executor = engine->pool.executor();
      return make(std::move(engine), executor);
    }
    case 2:
      return make(std::make_unique<nothing>(), moody_executor{its.pool.executor(), &its.tasks});
    default:
      return make(std::make_unique<nothing>(), its.pool.executor());
  }
}

/// What is lost if the soak is to fail.
void leak(std::string_view what) {
  if (what == "memory") {
    auto* const lost = new std::byte[512];
    std::memset(lost, 1, 512);
    asm volatile("" : : "r"(lost) : "memory");
  }
  if (what == "descriptor") static_cast<void>(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (what == "thread") std::thread([] { ::pause(); }).detach();
}

void work(round& its, std::uint64_t seed, tally& all, bool has_rings, std::string_view lost) {
  std::mt19937_64 random(seed);
  for (int i = 0; i < lives_of_a_worker; ++i) {
    std::unique_ptr<life> one = make_life(its, random, all, has_rings);
    one->go_on(60);
    // Another thread goes on with it, and this one with another's.
    if (random() % 3 == 0) {
      its.others.give(std::move(one));
      one = its.others.take_queue();
      if (one) one->go_on(30);
    }
    if (one && random() % 2 == 0) one->finish();
    if (random() % 16 == 0) {
      raise(all.most_descriptors, entries_of("/proc/self/fd"));
      raise(all.most_threads, entries_of("/proc/self/task"));
    }
    raise(all.most_bytes, live_bytes.load());
  }
  leak(lost);
}

int soak(double seconds, std::uint64_t seed) {
  std::printf("seed %llu (repeat with ASIOQ_SEED=%llu)\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(seed));
  bool has_rings = false;
#ifdef ASIOQ_TEST_URING
  has_rings = asioq::uring_context::available();
#endif
  std::printf(has_rings ? "on thread pools and io_uring\n" : "on thread pools only: io_uring is not to be had\n");
  const char* const wanted_leak = std::getenv("ASIOQ_SOAK_LEAK");
  const std::string_view lost = wanted_leak == nullptr ? "" : wanted_leak;

  std::vector<level> levels;
  // The allocator rounds, by where it finds room. Of its arenas it gives back the end only.
  levels.emplace_back("allocated KiB", 1024, 1024);
  levels.emplace_back("resident MiB", 1024 * 1024, 2 * 1024 * 1024);
  levels.emplace_back("descriptors", 1, 0);
  levels.emplace_back("threads", 1, 0);
  tally all;
  const long at_start = live_bytes.load();
  std::printf("%7s %7s %9s %11s |", "seconds", "rounds", "queues", "requests");
  for (const level& one : levels) std::printf(" %13s", one.name().c_str());
  std::printf("\n");

  std::mt19937_64 random(seed);
  using clock = std::chrono::steady_clock;
  const auto start = clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(clock::now() - start).count(); };
  double next_line = 0;
  int rounds = 0;
  const auto print = [&] {
    std::printf("%7.0f %7d %9llu %11llu |", passed(), rounds, static_cast<unsigned long long>(all.queues.load()),
                static_cast<unsigned long long>(all.submitted.load()));
    for (const level& one : levels) std::printf(" %13.1f", one.last());
    std::printf("\n");
    std::fflush(stdout);
  };
  while (passed() < seconds || rounds < static_cast<int>(2 * level::parts)) {
    {
      round its;
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < workers; ++i)
        threads.emplace_back([&, own = random()] { work(its, own, all, has_rings, lost); });
    }
    ++rounds;
    if (lost != "thread") must(asioq_test::threads_fall_to(1), "a thread is left");
    levels[0].measured(static_cast<double>(live_bytes.load() - at_start));
    levels[1].measured(static_cast<double>(resident_bytes()));
    levels[2].measured(static_cast<double>(entries_of("/proc/self/fd")));
    levels[3].measured(static_cast<double>(asioq_test::thread_count()));
    if (passed() < next_line) continue;
    next_line += seconds / 20;
    print();
  }
  print();

  std::printf("at work at most: %ld KiB allocated, %zu descriptors, %zu threads\n", all.most_bytes.load() / 1024,
              all.most_descriptors.load(), all.most_threads.load());
  std::printf("%llu requests failed, %llu were cancelled, %llu submissions or waits were refused\n",
              static_cast<unsigned long long>(all.failed.load()), static_cast<unsigned long long>(all.cancelled.load()),
              static_cast<unsigned long long>(all.refused.load()));
  bool is_flat = true;
  for (const level& one : levels) {
    std::printf("%s: from %.1f to %.1f, since the first quarter %+.1f, trend %+d of 66: %s\n", one.name().c_str(),
                one.lowest(), one.highest(), one.growth(), one.trend(), one.grows() ? "GROWS" : "flat");
    is_flat = is_flat && !one.grows();
  }
  return is_flat ? 0 : 1;
}

}  // namespace

}  // namespace asioq_soak

int main(int count, char** arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  const char* const wanted = std::getenv("ASIOQ_SEED");
  const std::uint64_t seed = wanted != nullptr ? std::stoull(wanted) : std::random_device{}();
  return asioq_soak::soak(count > 1 ? std::stod(arguments[1]) : 60, seed);
}
