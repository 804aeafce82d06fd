// What a request costs in the order grows at most with the logarithm of how many are unfinished, whatever they wait for
// and in whatever order they end.
#include <asioq/detail/order/schedule.hpp>

#include "catch.hpp"
#include "records.hpp"
#include "seed.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <utility>
#include <vector>

using namespace asioq_test;
using asioq::asio_op;
using asioq::failure_policy;
using asioq::file_facts;
using asioq::detail::request_record;
using asioq::detail::schedule;

namespace {

enum class ends { oldest_first, youngest_first, at_random };

double seconds_of_this_thread() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// A disk that never ends, with as many files as there are descriptors, or with one.
class endless_disk {
 public:
  explicit endless_disk(bool is_one_file) : is_one_file_(is_one_file) {}

  schedule order{~std::size_t{0}, failure_policy::proceed};

  void submit(request_record& record) {
    order.add(record);
    begin();
  }

  /// Carries out all requests. Of those in flight, the given one ends next.
  void finish(ends how, std::uint64_t stream = 0) {
    auto random = random_source(stream);
    while (oldest_ < in_flight_.size()) {
      request_record* ending = nullptr;
      if (how == ends::oldest_first) {
        ending = in_flight_[oldest_++];
      } else {
        if (how == ends::at_random)
          std::swap(in_flight_[oldest_ + below(random, in_flight_.size() - oldest_)], in_flight_.back());
        ending = in_flight_.back();
        in_flight_.pop_back();
      }
      ending->transferred = ending->length;
      order.complete(*ending);
      begin();
    }
  }

 private:
  void begin() {
    while (order.has_question()) {
      const schedule::question asked = order.ask();
      const auto file = static_cast<std::uint64_t>(is_one_file_ ? 1 : asked.fd);
      order.learn(asked, {.identity = {.volume = 1, .file = file}, .size = std::uint64_t{1} << 40});
    }
    while (request_record* const next = order.next()) in_flight_.push_back(next);
  }

  bool is_one_file_;
  std::vector<request_record*> in_flight_;  // those before `oldest_` have ended
  std::size_t oldest_ = 0;
};

/// `make(store, i, n)` makes the i-th of n requests.
template <class Make>
double seconds_for(std::uint64_t count, ends how, bool is_one_file, Make make, std::uint64_t stream = 0) {
  record_store store;
  for (std::uint64_t i = 0; i < count; ++i) make(store, i, count);
  endless_disk disk(is_one_file);
  const double begin = seconds_of_this_thread();
  for (request_record& one : store.all()) disk.submit(one);
  disk.finish(how, stream);
  const double spent = seconds_of_this_thread() - begin;
  CHECK(disk.order.finished() == count);
  return spent;
}

template <class Make>
void check_is_near_linear(const char* what, bool is_one_file, Make make) {
  for (const ends how : {ends::oldest_first, ends::youngest_first, ends::at_random}) {
    double some = seconds_for(2000, how, is_one_file, make);
    double many = seconds_for(8000, how, is_one_file, make);
    // What else the machine does only adds to either: the least of several is what it takes.
    for (int i = 0; i < 10 && (i < 2 || (how != ends::at_random && many >= 9 * some)); ++i) {
      some = std::min(some, seconds_for(2000, how, is_one_file, make));
      if (many > 6 * some) many = std::min(many, seconds_for(8000, how, is_one_file, make));
    }
    // At random, some orders take twice as long as others: what counts is how long several take.
    for (std::uint64_t i = 1; how == ends::at_random && i < 6; ++i) {
      some += seconds_for(2000, how, is_one_file, make, i);
      many += seconds_for(8000, how, is_one_file, make, i);
    }
    INFO(what << ", ends " << static_cast<int>(how) << ": " << some << " s, " << many << " s");
    CHECK(many < 9 * some);
  }
}

}  // namespace

TEST_CASE("many that wait for many take near-linear time", "[cost]") {
  check_is_near_linear("reads of all bytes behind writes of each", true,
                       [](record_store& store, std::uint64_t i, std::uint64_t count) {
                         const std::uint64_t third = count / 3;
                         if (i < third)
                           store.make(asio_op::write, 1, i + 1, third - 1 - i);
                         else if (i < 2 * third)
                           store.make(asio_op::write, 1, 1, 2 * third - 1 - i);
                         else
                           store.make(asio_op::read, 1, third, 0);
                       });
  check_is_near_linear("writes of each byte behind reads of all", true,
                       [](record_store& store, std::uint64_t i, std::uint64_t count) {
                         if (i < count / 2)
                           store.make(asio_op::read, 1, count / 2, 0);
                         else
                           store.make(asio_op::write, 1, 1, i - count / 2);
                       });
}

TEST_CASE("short and long ranges among each other take near-linear time", "[cost]") {
  const asio_op op = GENERATE(asio_op::read, asio_op::write);
  check_is_near_linear("old short ones, young long ones", true,
                       [&](record_store& store, std::uint64_t i, std::uint64_t count) {
                         const std::uint64_t third = count / 3;
                         if (i < third)
                           store.make(op, 1, 1, 4 * i);
                         else if (i < 2 * third)
                           store.make(asio_op::write, 1, 1, 4 * (i - third));
                         else
                           store.make(op, 1, 8 * count, 4 * (i - 2 * third) + 2);
                       });
  check_is_near_linear("old long ones, young short ones", true,
                       [&](record_store& store, std::uint64_t i, std::uint64_t count) {
                         const std::uint64_t third = count / 3;
                         if (i < third)
                           store.make(op, 1, 4 * count - 2 * i, 2 * i);
                         else if (i < 2 * third)
                           store.make(asio_op::read, 1, 1, 2 * (i - third) + 1);
                         else
                           store.make(asio_op::write, 1, 1, 4 * count - 1 - (i - 2 * third));
                       });
}

TEST_CASE("descriptors in use at the same time take near-linear time", "[cost]") {
  const bool is_one_file = GENERATE(false, true);
  check_is_near_linear("falling numbers", is_one_file, [](record_store& store, std::uint64_t i, std::uint64_t count) {
    store.make(asio_op::read, static_cast<int>(count - i), 8, 0);
  });
  check_is_near_linear("numbers far apart", is_one_file, [](record_store& store, std::uint64_t i, std::uint64_t) {
    store.make(asio_op::read, static_cast<int>(i * 4096), 8, 0);
  });
  check_is_near_linear("truncates", is_one_file, [](record_store& store, std::uint64_t i, std::uint64_t) {
    store.make(i % 2 == 0 ? asio_op::read : asio_op::truncate, static_cast<int>(i), i % 2 == 0 ? 8 : 0, 100);
  });
}

TEST_CASE("what is taken back does not cost more if more are unfinished", "[cost]") {
  const auto seconds = [](std::uint64_t unfinished) {
    record_store store;
    endless_disk disk(true);
    for (std::uint64_t i = 0; i < unfinished; ++i) disk.submit(store.make(asio_op::write, 1, 8, 8 * i));
    request_record& last = store.make(asio_op::write, 1, 8, 8 * unfinished);
    const double begin = seconds_of_this_thread();
    std::size_t refused = 0;
    for (int i = 0; i < 2000; ++i) {
      disk.order.add(last);
      refused += disk.order.withdraw(last) ? 0 : 1;
    }
    const double spent = seconds_of_this_thread() - begin;
    CHECK(refused == 0);
    disk.finish(ends::oldest_first);
    return spent;
  };
  const double few = seconds(100);
  CHECK(seconds(20'000) < 10 * few + 0.005);
}
