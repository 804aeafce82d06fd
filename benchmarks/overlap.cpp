// What a queue is for: the program computes while the device works. One request is submitted, something is computed,
// the request is waited for; beside a plain thread, a mutex and a condition variable that do the same.
#include <asioq/asioq.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "groups.hpp"
#include "support/computation.hpp"
#include "support/null_device.hpp"
#include "support/queue_on.hpp"
#include "support/rows.hpp"
#include "support/transfer.hpp"

namespace bench {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

/// Requests to make, one at a time, and what to compute meanwhile.
struct overlap {
  transfer io;
  nanoseconds length;
};

/// Carries out requests beside a computation.
class overlapping : public worker {
 public:
  explicit overlapping(const overlap& its) : io_(its.io), offsets_(its.io), computation_(its.length) {}

  void run(std::size_t requests) override {
    for (std::size_t i = 0; i < requests; ++i) {
      begin(offsets_.next());
      computation_.run();
      if (!has_finished()) ++late_;
      finish();
    }
  }

  /// Of all requests so far, those that had not finished when the computation had.
  [[nodiscard]] std::size_t late() const { return late_; }

 protected:
  [[nodiscard]] const transfer& io() const { return io_; }

 private:
  virtual void begin(std::uint64_t offset) = 0;
  [[nodiscard]] virtual bool has_finished() const = 0;
  virtual void finish() = 0;

  transfer io_;
  offsets offsets_;
  computation computation_;
  std::size_t late_ = 0;
};

template <class Place>
class queue_beside final : public overlapping {
 public:
  queue_beside(const overlap& its, asioq::execution_order order)
      : overlapping(its), its_{{.buffer_size = its.io.block, .order = order}} {}

 private:
  void begin(std::uint64_t offset) override {
    asioq::asio_request request = its_.queue.get();
    if (io().way == direction::read) {
      request.prepare_read(io().fd, io().block, offset);
    } else {
      request.prepare_write(io().fd, io().block, offset);
    }
    its_.queue.submit(std::move(request));
  }
  [[nodiscard]] bool has_finished() const override { return its_.queue.running_requests() == 0; }
  void finish() override { check(its_.queue.wait()); }

  queue_on<Place> its_;
};

class plain_thread final : public overlapping {
 public:
  explicit plain_thread(const overlap& its) : overlapping(its), buffers_(its.io), thread_([this] { serve(); }) {}
  plain_thread(const plain_thread&) = delete;
  plain_thread& operator=(const plain_thread&) = delete;
  ~plain_thread() override {
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    asked_.notify_one();
  }

 private:
  void begin(std::uint64_t offset) override {
    {
      const std::lock_guard lock(mutex_);
      offset_ = offset;
      is_asked_ = true;
    }
    asked_.notify_one();
  }
  [[nodiscard]] bool has_finished() const override {
    const std::lock_guard lock(mutex_);
    return !is_asked_;
  }
  void finish() override {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return !is_asked_; });
    bench::check(outcome_, io(), "a plain thread");
  }

  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      asked_.wait(lock, [this] { return is_asked_ || is_over_; });
      if (is_over_) return;
      const auto offset = static_cast<off_t>(offset_);
      lock.unlock();
      const ssize_t count = io().way == direction::read ? ::pread(io().fd, buffers_[0], io().block, offset)
                                                        : ::pwrite(io().fd, buffers_[0], io().block, offset);
      const std::int64_t outcome = count < 0 ? -errno : count;
      lock.lock();
      outcome_ = outcome;
      is_asked_ = false;
      done_.notify_one();
    }
  }

  mutable std::mutex mutex_;  // for all below but buffers_
  std::condition_variable asked_;
  std::condition_variable done_;
  bool is_asked_ = false;
  bool is_over_ = false;
  std::uint64_t offset_ = 0;
  std::int64_t outcome_ = 0;
  buffers buffers_;
  std::jthread thread_;  // last: uses all the others until joined
};

/// Counts late requests instead of taking the time.
template <class Overlapping>
class count_of_late final : public worker {
 public:
  template <class... Arguments>
  explicit count_of_late(const Arguments&... arguments) : its_(arguments...) {}

  void run(std::size_t requests) override { its_.run(requests); }
  double time(std::size_t requests) override {
    const std::size_t before = its_.late();
    its_.run(requests);
    return static_cast<double>(its_.late() - before);
  }

 private:
  Overlapping its_;
};

/// Of what was counted instead of seconds.
constexpr figure extra_share{"% more", false, [](double subject, double peer) { return (subject - peer) * 100; }};

constexpr auto strict = asioq::execution_order::strict;
constexpr auto as_if_serial = asioq::execution_order::as_if_serial;

/// What else wants the processors.
struct surroundings {
  std::string name;
  std::string title;
  bool on_one_core = false;
  bool beside_busy_threads = false;
};

const std::array<surroundings, 3>& all_surroundings() {
  static const std::array<surroundings, 3> all{{
      {"idle", "all processors idle"},
      {"one_core", "one processor", true},
      {"busy", "each processor busy", false, true},
  }};
  return all;
}

/// Threads that compute take turns of several milliseconds: a pair has to be long enough to have many of them.
std::size_t requests_in_pair(const surroundings& around) { return around.beside_busy_threads ? 500 : 0; }

template <class Place>
void add_overlap(table& rows, const std::string& name, const std::string& work, const std::string& who,
                 asioq::execution_order order, const overlap& its) {
  for (const surroundings& around : all_surroundings())
    rows.add(relative_time,
             {.name = "overlap/" + name + "/" + around.name,
              .work = work + ", " + around.title,
              .subject = who,
              .peer = "a jthread and a condition variable",
              .goal = 1.05,
              .on_one_core = around.on_one_core,
              .beside_busy_threads = around.beside_busy_threads,
              .requests = requests_in_pair(around)},
             make<queue_beside<Place>>(its, order), make<plain_thread>(its));
}

template <class Place>
void add_late(table& rows, const std::string& name, const std::string& who, asioq::execution_order order,
              const overlap& its) {
  for (const surroundings& around : all_surroundings())
    rows.add(extra_share,
             {.name = "overlap/late/" + name + "/" + around.name,
              .work = "4 KiB writes to /dev/null, not done after 200 µs of work, " + around.title,
              .subject = who,
              .peer = "a jthread and a condition variable",
              .goal = 5,
              .on_one_core = around.on_one_core,
              .beside_busy_threads = around.beside_busy_threads,
              .requests = 1000},
             make<count_of_late<queue_beside<Place>>>(its, order), make<count_of_late<plain_thread>>(its));
}

}  // namespace

void add_overlaps(table& rows, const test_file& file) {
  static const null_device nowhere;  // the rows are measured later
  const transfer instant{.fd = nowhere.fd(), .file_size = 4096, .block = 4096, .depth = 1, .way = direction::write};
  add_late<default_pool>(rows, "strict", "asio_queue", strict, {instant, microseconds(200)});
  add_late<default_pool>(rows, "as_if_serial", "asio_queue, as if serial", as_if_serial, {instant, microseconds(200)});
  add_late<pool_of<1>>(rows, "one_thread", "queue on a pool of 1 thread", strict, {instant, microseconds(200)});
  if (!file.why_not_direct().empty()) return;

  const auto direct = [&](direction way, std::size_t block) {
    return transfer{.fd = file.direct(), .file_size = file.size(), .block = block, .depth = 1, .way = way};
  };
  const overlap small{direct(direction::write, 4096), microseconds(200)};
  const std::string work = "4 KiB direct write beside 200 µs of work";
  add_overlap<default_pool>(rows, "write", work, "asio_queue", strict, small);
  add_overlap<default_pool>(rows, "write_as_if_serial", work, "asio_queue, as if serial", as_if_serial, small);
  add_overlap<pool_of<1>>(rows, "write_one_thread", work, "queue on a pool of 1 thread", strict, small);
  add_overlap<default_pool>(rows, "write_64k", "64 KiB direct write beside 300 µs of work", "asio_queue", strict,
                            {direct(direction::write, 65536), microseconds(300)});
  add_overlap<default_pool>(rows, "read", "4 KiB direct read beside 200 µs of work", "asio_queue", strict,
                            {direct(direction::read, 4096), microseconds(200)});
}

}  // namespace bench
