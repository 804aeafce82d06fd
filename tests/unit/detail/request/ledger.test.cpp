#include <asioq/detail/request/ledger.hpp>

#include "catch.hpp"
#include "receivers.hpp"
#include "records.hpp"
#include "seed.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <deque>
#include <vector>

using namespace asioq_test;
using asioq::asio_op;
using asioq::detail::ledger;
using asioq::detail::request_record;

namespace {

/// Enters requests and lets them finish.
class books {
 public:
  request_record& enter(asio_op op, int error = 0, bool has_receiver = false) {
    request_record& its = store.make(op, 3);
    its.has_receiver = has_receiver;
    its.receiver = has_receiver ? &receiver : nullptr;
    its.sequence = accounts.entered();
    its.error = error;
    accounts.enter(its);
    return its;
  }
  void settle(std::uint64_t finished) {
    accounts.settle(finished, [this](request_record& record) { recycled.push_back(&record); });
  }

  record_store store;
  noting_receiver receiver;
  ledger accounts;
  std::vector<request_record*> recycled;
};

}  // namespace

TEST_CASE("successful write-backs recycle themselves, and all else is collected in order", "[ledger]") {
  books its;
  request_record& read = its.enter(asio_op::read);
  request_record& good = its.enter(asio_op::write_back);
  request_record& bad = its.enter(asio_op::write_back, EIO);
  request_record& sync = its.enter(asio_op::fsync);
  CHECK(its.accounts.entered() == 4);
  CHECK(its.accounts.outstanding_write_backs() == 2);
  CHECK(its.accounts.running_write_backs(2) == 1);
  CHECK(its.accounts.collect() == nullptr);
  its.settle(3);
  CHECK(its.accounts.settled() == 3);
  CHECK(its.recycled == std::vector{&good});
  CHECK(its.accounts.failed_write_backs() == 1);
  CHECK(&its.accounts.oldest_failed_write_back() == &bad);
  CHECK(its.accounts.collect() == &read);
  CHECK(its.accounts.collect() == &bad);
  CHECK(its.accounts.failed_write_backs() == 0);
  CHECK(its.accounts.collect() == nullptr);
  CHECK(its.accounts.has_outstanding());
  its.settle(4);
  CHECK(its.accounts.collect() == &sync);
  CHECK_FALSE(its.accounts.has_outstanding());
}

TEST_CASE("the books know what an owner waits for", "[ledger]") {
  books its;
  for (int i = 0; i < 5; ++i) its.enter(asio_op::write_back);
  CHECK(its.accounts.next_to_come_back(its.accounts.entered()) == 5);  // all are write-backs: the youngest decides
  CHECK(its.accounts.oldest_write_back() == 1);
  its.enter(asio_op::read);
  its.enter(asio_op::write_back);
  its.enter(asio_op::read);
  CHECK(its.accounts.next_to_come_back(its.accounts.entered()) == 6);
  its.settle(6);
  CHECK(its.accounts.next_to_come_back(its.accounts.entered()) == 8);
  CHECK(its.accounts.oldest_write_back() == 7);
  CHECK(its.accounts.running_write_backs(7) == 0);
  CHECK(its.accounts.outstanding_write_backs() == 1);
}

TEST_CASE("an acknowledgement covers what had been settled, if anything had failed", "[ledger]") {
  books its;
  its.enter(asio_op::read);
  its.settle(1);
  its.accounts.acknowledge();
  CHECK(its.accounts.acknowledged() == 0);
  its.enter(asio_op::read, EIO);
  its.enter(asio_op::fsync, EIO);
  its.settle(2);
  its.accounts.acknowledge();
  CHECK(its.accounts.acknowledged() == 2);
  its.settle(3);
  CHECK(its.accounts.acknowledged() == 2);
  its.accounts.acknowledge();
  CHECK(its.accounts.acknowledged() == 3);
}

TEST_CASE("the owner is told of a loss by what it collects or what was thrown, until it acknowledges", "[ledger]") {
  books its;
  its.enter(asio_op::read, EIO);
  its.settle(1);
  CHECK_FALSE(ledger::is_loss(*its.accounts.collect()));
  CHECK_FALSE(its.accounts.owner_was_told());  // of a loss
  its.enter(asio_op::write, EIO);
  its.settle(2);
  CHECK_FALSE(its.accounts.owner_was_told());
  CHECK(ledger::is_loss(*its.accounts.collect()));
  CHECK(its.accounts.owner_was_told());
  its.accounts.acknowledge();
  CHECK_FALSE(its.accounts.owner_was_told());
  for (const asio_op op : {asio_op::write_back, asio_op::write, asio_op::write_back}) its.enter(op, EIO);
  its.settle(5);
  its.accounts.mark_reported();
  CHECK(its.accounts.owner_was_told());
  std::vector<bool> losses;
  while (const request_record* const one = its.accounts.collect()) losses.push_back(ledger::is_loss(*one));
  CHECK(losses == std::vector{false, true, false});
}

TEST_CASE("each operation but a read may lose data", "[ledger]") {
  record_store store;
  for (const asio_op op : {asio_op::write, asio_op::write_back, asio_op::fsync, asio_op::fdatasync, asio_op::truncate,
                           asio_op::allocate, asio_op::close}) {
    request_record& its = store.make(op, 3);
    CHECK_FALSE(ledger::is_loss(its));
    its.error = EIO;
    CHECK(ledger::is_loss(its));
    its.reported = true;
    CHECK_FALSE(ledger::is_loss(its));
  }
}

TEST_CASE("what has a receiver is delivered, and all else is collected, each in order", "[ledger]") {
  books its;
  CHECK_FALSE(its.accounts.has_undelivered());
  request_record& read = its.enter(asio_op::read);
  request_record& back = its.enter(asio_op::write_back, 0, true);
  request_record& bad = its.enter(asio_op::write_back, EIO, true);
  request_record& sync = its.enter(asio_op::fsync, 0, true);
  CHECK(its.accounts.has_undelivered());
  CHECK_FALSE(its.accounts.has_deliverable());
  CHECK(its.accounts.oldest_outstanding() == &read);
  CHECK(read.next_later == &back);
  its.settle(3);
  CHECK(its.recycled.empty());
  CHECK(its.accounts.failed_write_backs() == 0);  // no error of the queue
  CHECK(its.accounts.has_deliverable());
  CHECK(its.accounts.oldest_outstanding() == &sync);
  const std::uint64_t everything = its.accounts.settled();
  CHECK(its.accounts.take_deliverable(1) == nullptr);
  CHECK(its.accounts.take_deliverable(2) == &back);
  CHECK(its.accounts.take_deliverable(2) == nullptr);
  CHECK_FALSE(its.accounts.owner_was_told());
  CHECK(its.accounts.take_deliverable(everything) == &bad);
  CHECK(its.accounts.owner_was_told());
  CHECK(its.accounts.take_deliverable(everything) == nullptr);
  CHECK_FALSE(its.accounts.has_deliverable());
  CHECK(its.accounts.has_undelivered());
  its.settle(4);
  CHECK(its.accounts.take_deliverable(4) == &sync);
  CHECK_FALSE(its.accounts.has_undelivered());
  CHECK(its.accounts.collect() == &read);
  CHECK(its.accounts.collect() == nullptr);
}

TEST_CASE("the books know that a write-back with a receiver comes back", "[ledger]") {
  books its;
  for (int i = 0; i < 3; ++i) its.enter(asio_op::write_back);
  CHECK(its.accounts.next_to_come_back(99) == 99);
  its.enter(asio_op::write_back, 0, true);
  its.enter(asio_op::write_back);
  its.enter(asio_op::read, 0, true);
  CHECK(its.accounts.next_to_come_back(99) == 4);
  CHECK(its.accounts.next_to_come_back(2) == 2);
  CHECK(its.accounts.oldest_write_back() == 1);
  CHECK(its.accounts.outstanding_write_backs() == 5);
  CHECK(its.accounts.running_write_backs(4) == 1);
  its.settle(3);
  CHECK(its.accounts.oldest_write_back() == 4);
  its.settle(4);
  CHECK(its.accounts.oldest_write_back() == 5);
  CHECK(its.accounts.next_to_come_back(99) == 6);
  CHECK(its.accounts.outstanding_write_backs() == 1);
  its.settle(6);
  CHECK(its.accounts.outstanding_write_backs() == 0);
  CHECK(its.recycled.size() == 4);
}

TEST_CASE("a request leaves the books uncancelled", "[ledger]") {
  books its;
  request_record& plain = its.enter(asio_op::read);
  request_record& back = its.enter(asio_op::write_back);
  request_record& received = its.enter(asio_op::read, 0, true);
  plain.cancel();
  back.cancel();
  its.settle(3);
  CHECK_FALSE(plain.must_not_begin());
  CHECK_FALSE(back.must_not_begin());
  received.cancel();  // a token that was stopped before the delivery
  CHECK(its.accounts.take_deliverable(3) == &received);
  CHECK_FALSE(received.must_not_begin());
}

TEST_CASE("random books add up", "[ledger][random]") {
  auto random = random_source();
  books its;
  std::deque<const request_record*> running;
  std::deque<const request_record*> finished;
  std::deque<const request_record*> delivered;
  std::size_t wrong = 0;
  for (int step = 0; step < 20'000; ++step) {
    const auto is_write_back = [](const request_record* one) { return one->op == asio_op::write_back; };
    const auto recycles = [&](const request_record* one) { return is_write_back(one) && !one->has_receiver; };
    switch (below(random, 4)) {
      case 0:
        if (running.size() < 50)
          running.push_back(&its.enter(below(random, 2) == 0 ? asio_op::write_back : asio_op::read,
                                       below(random, 4) == 0 ? EIO : 0, below(random, 3) == 0));
        break;
      case 1:
        for (std::size_t more = below(random, running.size() + 1); more > 0; --more) {
          if (running.front()->has_receiver)
            delivered.push_back(running.front());
          else if (!is_write_back(running.front()) || running.front()->error != 0)
            finished.push_back(running.front());
          running.pop_front();
        }
        its.settle(its.accounts.entered() - running.size());
        break;
      case 2: {
        const std::uint64_t end = its.accounts.settled() - below(random, 3);
        const bool is_due = !delivered.empty() && delivered.front()->sequence < end;
        wrong += its.accounts.take_deliverable(end) == (is_due ? delivered.front() : nullptr) ? 0 : 1;
        if (is_due) delivered.pop_front();
        break;
      }
      default: {
        const request_record* const one = its.accounts.collect();
        wrong += one == (finished.empty() ? nullptr : finished.front()) ? 0 : 1;
        if (!finished.empty()) finished.pop_front();
        break;
      }
    }
    const auto first = std::ranges::find_if_not(running, recycles);
    const std::uint64_t next = first == running.end() ? its.accounts.entered() : (*first)->sequence + 1;
    wrong += its.accounts.next_to_come_back(its.accounts.entered()) == next ? 0 : 1;
    wrong += its.accounts.has_collectable() == !finished.empty() ? 0 : 1;
    wrong += its.accounts.has_deliverable() == !delivered.empty() ? 0 : 1;
    const bool has_undelivered =
        !delivered.empty() || std::ranges::any_of(running, [](const auto* one) { return one->has_receiver; });
    wrong += its.accounts.has_undelivered() == has_undelivered ? 0 : 1;
    wrong += its.accounts.outstanding_write_backs() ==
                     static_cast<std::size_t>(std::ranges::count_if(running, is_write_back))
                 ? 0
                 : 1;
    wrong +=
        its.accounts.failed_write_backs() == static_cast<std::size_t>(std::ranges::count_if(finished, is_write_back))
            ? 0
            : 1;
  }
  CHECK(wrong == 0);
}
