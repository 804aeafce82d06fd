// What a queue costs where the file costs nothing: 4 KiB to /dev/null, beside a loop of write(2).
#include <asioq/asioq.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "groups.hpp"
#include "support/null_device.hpp"
#include "support/queue_on.hpp"
#include "support/rows.hpp"

namespace bench {
namespace {

constexpr std::size_t block = 4096;
asioq::queue_options options() { return {.buffer_size = block, .max_writebacks = 16}; }

class write_loop final : public worker {
 public:
  void run(std::size_t requests) override {
    for (std::size_t i = 0; i < requests; ++i)
      if (::write(out_.fd(), data_.data(), data_.size()) != static_cast<ssize_t>(data_.size()))
        throw std::system_error(errno, std::system_category(), "write");
  }

 private:
  null_device out_;
  alignas(asioq::buffer_alignment) std::array<std::byte, block> data_{};
};

/// The owner waits only for room, and at the end.
struct write_back {
  static constexpr const char* name = "write_back";
  static constexpr const char* work = "write-backs, 16 unfinished";
  static constexpr double goal = 1.3;

  template <class Queue>
  static void run(Queue& queue, int fd, std::size_t requests) {
    write_back_all(queue, fd, requests);
  }
};

/// The oldest of 32 is waited for, and goes again.
struct write_ahead {
  static constexpr const char* name = "write_32";
  static constexpr const char* work = "writes, 32 in flight, each waited for";
  static constexpr double goal = 1.5;

  template <class Queue>
  static void run(Queue& queue, int fd, std::size_t requests) {
    std::size_t submitted = 0;
    const auto submit = [&](asioq::asio_request request) {
      request.prepare_write(fd, block);
      queue.submit(std::move(request));
      ++submitted;
    };
    while (submitted < std::min<std::size_t>(requests, 32)) submit(queue.get());
    while (asioq::asio_request done = queue.wait()) {
      check(done);
      if (submitted < requests) submit(std::move(done));
    }
  }
};

/// A round trip for each.
struct write_and_wait {
  static constexpr const char* name = "write_1";
  static constexpr const char* work = "writes, one submitted and waited for";
  static constexpr double goal = 3;

  template <class Queue>
  static void run(Queue& queue, int fd, std::size_t requests) {
    for (std::size_t i = 0; i < requests; ++i) {
      asioq::asio_request request = queue.get();
      request.prepare_write(fd, block);
      queue.submit(std::move(request));
      check(queue.wait());
    }
  }
};

template <class Place, class Use>
class one_queue final : public worker {
 public:
  void run(std::size_t requests) override { Use::run(its_.queue, out_.fd(), requests); }

 private:
  null_device out_;
  queue_on<Place> its_{options()};
};

template <class Place, std::size_t Queues>
class queues_on_one final : public worker {
 public:
  queues_on_one() {
    while (queues_.size() < Queues) queues_.emplace_back(place_.executor(), options());
  }
  void run(std::size_t requests) override { write_back_in_turn(queues_, out_.fd(), requests); }

 private:
  null_device out_;
  Place place_;
  std::deque<asioq::basic_asio_queue<typename Place::executor_type>> queues_;
};

/// Far more threads than processors: four pools, each with a queue.
class crowd final : public worker {
 public:
  crowd() {
    for (pool_of<8>& pool : pools_) queues_.emplace_back(pool.executor(), options());
  }
  void run(std::size_t requests) override { write_back_in_turn(queues_, out_.fd(), requests); }

 private:
  null_device out_;
  std::array<pool_of<8>, 4> pools_;
  std::deque<asioq::basic_asio_queue<asioq::thread_pool::executor_type>> queues_;
};

/// As many requests as there are, through queues that are not used for more than `Each` of them; the next queue is
/// made, and has a few requests behind it, before the time is taken that counts.
template <std::size_t Each>
class queues_one_after_another final : public worker {
 public:
  void run(std::size_t requests) override { time(requests); }

  double time(std::size_t requests) override {
    double sum = 0;
    for (; requests > 0; requests -= std::min(requests, Each)) {
      one_queue<default_pool, write_back> queue;
      queue.run(64);
      sum += queue.time(std::min(requests, Each));
    }
    return sum;
  }

 private:
  asioq::default_executor pool_;  // stays, so that no run waits for threads to start
};

template <class Use>
void add_use(table& rows) {
  const std::string name = std::string("queue/") + Use::name;
  const std::string work = std::string("4 KiB ") + Use::work + ", to /dev/null";
  const maker peer = make<write_loop>();
  rows.add(relative_time, {.name = name, .work = work, .subject = "asio_queue", .peer = "write(2)", .goal = Use::goal},
           make<one_queue<default_pool, Use>>(), peer);
  rows.add(relative_time,
           {.name = name + "/one_core",
            .work = work,
            .subject = "asio_queue, one core",
            .peer = "write(2), one core",
            .goal = Use::goal,
            .on_one_core = true},
           make<one_queue<default_pool, Use>>(), peer);
  rows.add(relative_time,
           {.name = name + "/inline", .work = work, .subject = "queue on inline_executor", .peer = "write(2)"},
           make<one_queue<caller, Use>>(), peer);
}

}  // namespace

void add_queue_cost(table& rows) {
  add_use<write_back>(rows);
  add_use<write_ahead>(rows);
  add_use<write_and_wait>(rows);

  const std::string work = "4 KiB write-backs, to /dev/null";
  rows.add(relative_time,
           {.name = "queue/64_queues",
            .work = work,
            .subject = "64 queues in turn on a pool of 2 threads",
            .peer = "one queue on such a pool",
            .goal = 1.5},
           make<queues_on_one<pool_of<2>, 64>>(), make<one_queue<pool_of<2>, write_back>>());
  rows.add(relative_time,
           {.name = "queue/oversubscribed",
            .work = work,
            .subject = "4 queues in turn, each on a pool of 8 threads",
            .peer = "write(2)"},
           make<crowd>(), make<write_loop>());
  rows.add(relative_time,
           {.name = "queue/million",
            .work = "a million " + work,
            .subject = "one asio_queue",
            .peer = "1000 queues, one after another",
            .goal = 1.1,
            .requests = 1'000'000},
           make<queues_one_after_another<1'000'000>>(), make<queues_one_after_another<1'000>>());
}

}  // namespace bench
