// Rules of the order that random programs meet too seldom, or not at all on a disk that answers at once: each is tried
// on the part that keeps it, step by step.
#pragma once

#include <asioq/detail/dispatch/dispatcher.hpp>
#include <asioq/detail/dispatch/io_dispatcher.hpp>
#include <asioq/detail/order/failure_log.hpp>
#include <asioq/detail/order/file_probe.hpp>
#include <asioq/detail/order/interval_tree.hpp>
#include <asioq/detail/order/schedule.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/transfer/transfer.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/io_operation.hpp>

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include "any_io_executor.hpp"
#include "files.hpp"

namespace asioq_test::rules {

using asioq::asio_op;
using asioq::failure_policy;
using asioq::file_facts;
using asioq::file_identity;
using asioq::detail::request_record;
using asioq::detail::schedule;

/// Requests, numbered in the order in which they are made.
class requests {
 public:
  request_record& make(asio_op op, int fd, std::size_t length, std::uint64_t offset) {
    request_record& made = all_.emplace_back(nullptr, nullptr);
    made.op = op;
    made.fd = fd;
    made.length = length;
    made.offset = offset;
    made.sequence = all_.size() - 1;
    return made;
  }

 private:
  std::deque<request_record> all_;
};

/// A schedule whose questions are answered when the test says so: a file of `size` bytes, or one for each descriptor.
class slow_schedule : public schedule {
 public:
  explicit slow_schedule(std::uint64_t size, bool is_one_file = true)
      : schedule(8, failure_policy::proceed), size_(size), is_one_file_(is_one_file) {}

  request_record& make(asio_op op, std::size_t length, std::uint64_t offset, int fd = 1) {
    return requests_.make(op, fd, length, offset);
  }

  request_record& submit(asio_op op, std::size_t length, std::uint64_t offset, int fd = 1) {
    request_record& made = make(op, length, offset, fd);
    add(made);
    return made;
  }

  void answer(const question& asked) {
    const auto file = static_cast<std::uint64_t>(is_one_file_ ? 1 : asked.fd);
    learn(asked, file_facts{.identity = {.volume = 1, .file = file}, .appends = asked.fd == appending, .size = size_});
  }

  /// The kernel does not tell.
  void leave_open(const question& asked) { learn(asked, file_facts{.identity = asioq::detail::unknown_file}); }

  void answer_all() {
    while (has_question()) answer(ask());
  }

  int appending = -1;  // the descriptor that has O_APPEND

  /// Whether this request, and no other, may start now; then it does.
  bool starts_alone(const request_record& wanted) { return next() == &wanted && next() == nullptr; }

  /// It has been carried out, all of it.
  void finish(request_record& record) {
    if (record.traits().transfers) record.transferred = record.length;
    complete(record);
  }

 private:
  requests requests_;
  std::uint64_t size_;
  bool is_one_file_;
};

inline bool the_oldest_begins_before_anything_is_known() {
  slow_schedule order(0);
  request_record& first = order.submit(asio_op::write, 10, 0, 1);
  request_record& second = order.submit(asio_op::write, 10, 0, 2);
  if (!order.starts_alone(first)) return false;
  order.finish(first);
  return order.starts_alone(second);
}

inline bool others_than_the_oldest_wait_for_the_facts() {
  slow_schedule order(0);
  request_record& first = order.submit(asio_op::write, 10, 0);
  request_record& second = order.submit(asio_op::write, 10, 10);
  order.answer_all();
  request_record& third = order.submit(asio_op::write, 10, 10, 2);
  if (order.next() != &first || order.next() != &second || order.next() != nullptr) return false;
  order.finish(first);
  if (order.next() != nullptr) return false;
  order.answer_all();
  if (order.next() != nullptr) return false;
  order.finish(second);
  return order.starts_alone(third);
}

/// Whether a write beyond, on another descriptor, waits for the read of ten bytes at 500, which has started.
inline bool a_write_beyond_waits(slow_schedule& order, request_record& read) {
  request_record& write = order.submit(asio_op::write, 10, 2000, 2);
  order.answer_all();
  if (order.next() != nullptr) return false;
  order.finish(read);
  return order.starts_alone(write);
}

inline bool a_size_found_during_a_truncate_is_none() {
  slow_schedule order(1000);
  request_record& first = order.submit(asio_op::read, 10, 0, 2);
  request_record& cut = order.submit(asio_op::truncate, 0, 100, 2);
  order.answer_all();
  if (!order.starts_alone(first)) return false;
  order.finish(first);
  if (!order.starts_alone(cut)) return false;
  request_record& read = order.submit(asio_op::read, 10, 500);
  const schedule::question asked = order.ask();
  order.finish(cut);
  if (!order.starts_alone(read)) return false;
  order.answer(asked);
  return a_write_beyond_waits(order, read);
}

inline bool what_the_kernel_does_not_tell_of_runs_alone() {
  slow_schedule order(1000);
  request_record& first = order.submit(asio_op::write, 10, 0, 1);
  request_record& unknown = order.submit(asio_op::write, 10, 0, 2);
  order.answer(order.ask());
  order.leave_open(order.ask());
  request_record& last = order.submit(asio_op::write, 10, 500, 1);
  if (order.has_question() || !order.starts_alone(first)) return false;
  order.finish(first);
  if (order.has_question() || !order.starts_alone(unknown)) return false;
  order.finish(unknown);
  return order.starts_alone(last);
}

inline bool nothing_finishes_while_its_descriptor_is_asked_about() {
  slow_schedule order(1000);
  request_record& first = order.submit(asio_op::read, 10, 0);
  order.submit(asio_op::read, 10, 500);
  const schedule::question asked = order.ask();
  if (!order.starts_alone(first)) return false;
  order.finish(first);
  if (order.finished() != 0) return false;
  order.answer(asked);
  return order.finished() == 1;
}

inline bool a_close_waits_while_its_descriptor_is_asked_about() {
  slow_schedule order(1000);
  request_record& first = order.submit(asio_op::read, 10, 0);
  request_record& second = order.submit(asio_op::read, 10, 500);
  order.answer_all();
  if (order.next() != &first || !order.starts_alone(second)) return false;
  request_record& close = order.submit(asio_op::close, 0, asioq::current_position, 2);
  const schedule::question asked = order.ask();
  order.finish(first);
  order.finish(second);
  if (order.finished() != 2 || order.next() != nullptr) return false;
  order.answer(asked);
  return order.starts_alone(close);
}

inline bool a_truncate_lowers_the_known_size(int fd_of_truncate) {
  slow_schedule order(1000);
  request_record& first = order.submit(asio_op::read, 10, 0);
  request_record& other = order.submit(asio_op::read, 10, 0, 2);
  request_record& cut = order.submit(asio_op::truncate, 0, 100, fd_of_truncate);
  order.answer_all();
  request_record& read = order.submit(asio_op::read, 10, 500);
  if (order.next() != &first || !order.starts_alone(other)) return false;
  order.finish(first);
  order.finish(other);
  if (!order.starts_alone(cut)) return false;
  order.finish(cut);
  return order.starts_alone(read) && a_write_beyond_waits(order, read);
}

inline bool what_was_cut_off_again_tells_no_size() {
  slow_schedule order(0);
  request_record& first = order.submit(asio_op::write, 1000, 0);
  request_record& cut = order.submit(asio_op::truncate, 0, 100);
  order.answer_all();
  if (!order.starts_alone(first)) return false;
  order.finish(first);
  request_record& read = order.submit(asio_op::read, 10, 500);
  if (!order.starts_alone(cut)) return false;
  order.finish(cut);
  return order.starts_alone(read) && a_write_beyond_waits(order, read);
}

inline bool what_a_short_write_left_out_tells_no_size() {
  slow_schedule order(0);
  request_record& first = order.submit(asio_op::write, 1000, 0);
  request_record& second = order.submit(asio_op::write, 10, 0);
  order.answer_all();
  if (!order.starts_alone(first)) return false;
  first.transferred = 100;
  first.error = ENOSPC;
  order.complete(first);
  request_record& read = order.submit(asio_op::read, 10, 500);
  return order.next() == &second && order.starts_alone(read) && [&] {
    order.finish(second);
    return a_write_beyond_waits(order, read);
  }();
}

inline bool an_appended_write_tells_no_size() {
  slow_schedule order(0);
  order.appending = 1;
  request_record& first = order.submit(asio_op::write, 10, 1000);
  request_record& second = order.submit(asio_op::write, 10, 1000);
  order.answer_all();
  for (request_record* one : {&first, &second}) {
    if (!order.starts_alone(*one)) return false;
    if (one == &second) break;
    order.finish(*one);
  }
  request_record& read = order.submit(asio_op::read, 10, 500);
  order.finish(second);
  return order.starts_alone(read) && a_write_beyond_waits(order, read);
}

inline bool what_comes_after_a_close_runs_one_by_one() {
  slow_schedule order(1000);
  request_record& first = order.submit(asio_op::read, 10, 0);
  std::array<request_record*, 3> later{&order.submit(asio_op::close, 0, asioq::current_position),
                                       &order.submit(asio_op::write, 10, 0), &order.submit(asio_op::write, 10, 100)};
  order.answer_all();
  if (!order.starts_alone(first)) return false;
  order.finish(first);
  for (request_record* one : later) {
    if (!order.starts_alone(*one)) return false;
    order.finish(*one);
  }
  return true;
}

/// A file that is known is asked about again, and a truncate runs before the answer comes.
inline bool a_late_answer_tells_nothing() {
  slow_schedule order(1000);
  request_record& first = order.submit(asio_op::write, 10, 0);
  request_record& second = order.submit(asio_op::write, 10, 10);
  order.answer_all();
  request_record& other = order.submit(asio_op::write, 10, 20, 2);
  request_record& alone = order.submit(asio_op::read, 10, 0);
  request_record& next = order.submit(asio_op::read, 10, 0);
  for (request_record* const one : {&first, &second, &other}) {
    if (order.next() != one) return false;
    order.finish(*one);
  }
  if (order.next() != &alone || !order.has_question()) return false;
  const schedule::question asked = order.ask();
  request_record& cut = order.submit(asio_op::truncate, 0, 0);
  if (!order.starts_alone(next)) return false;
  order.finish(alone);
  order.finish(next);
  if (!order.starts_alone(cut)) return false;
  request_record& write = order.submit(asio_op::write, 10, 0);
  order.finish(cut);
  if (!order.starts_alone(write)) return false;
  order.answer(asked);
  request_record& read = order.submit(asio_op::read, 10, 100);  // beyond the end, which the write moves
  if (order.next() != nullptr) return false;
  order.finish(write);
  if (!order.starts_alone(read)) return false;
  order.finish(read);
  // With the last request everything is forgotten, and the file has its size again.
  request_record& later = order.submit(asio_op::read, 10, 500);
  request_record& beyond = order.submit(asio_op::write, 10, 2000);
  order.answer_all();
  return order.next() == &later && order.next() == &beyond;
}

inline bool a_truncate_of_an_unknown_file_cuts_all() {
  slow_schedule order(1000);
  request_record& first = order.submit(asio_op::write, 10, 0);
  request_record& second = order.submit(asio_op::write, 10, 10);
  order.answer_all();
  request_record& cut = order.submit(asio_op::truncate, 0, 5, 2);
  const schedule::question asked = order.ask();
  request_record& read = order.submit(asio_op::read, 10, 500);
  request_record& write = order.submit(asio_op::write, 10, 2000);
  for (request_record* const one : {&first, &second, &cut}) {
    if (order.next() != one) return false;
    order.finish(*one);
  }
  order.answer(asked);
  if (!order.starts_alone(read)) return false;
  order.finish(read);
  return order.starts_alone(write);
}

inline bool a_close_waits_for_what_transfers_nothing(asio_op op) {
  slow_schedule order(1000);
  request_record& first = order.submit(asio_op::read, 10, 100);
  request_record& nothing = order.submit(op, 0, 0);
  request_record& close = order.submit(asio_op::close, 0, asioq::current_position);
  order.answer_all();
  if (order.next() != &first || !order.starts_alone(nothing)) return false;
  order.finish(first);
  if (order.next() != nullptr) return false;
  order.finish(nothing);
  return order.starts_alone(close);
}

inline bool another_file_is_never_in_the_way() {
  slow_schedule order(1000, false);
  request_record& write = order.submit(asio_op::write, 10, 0, 1);
  request_record& sync = order.submit(asio_op::fsync, 0, asioq::current_position, 2);
  request_record& read = order.submit(asio_op::read, 10, 0, 1);
  order.answer_all();
  if (order.next() != &write || !order.starts_alone(sync)) return false;
  order.finish(sync);
  if (order.next() != nullptr) return false;
  order.finish(write);
  return order.starts_alone(read);
}

/// A schedule with a sync, and requests before and behind it.
class schedule_with_a_sync : public slow_schedule {
 public:
  explicit schedule_with_a_sync(bool can_be_passed = true) : slow_schedule(1000), can_be_passed_(can_be_passed) {}

  request_record& sync(bool can_be_passed) {
    request_record& made = make(asio_op::fdatasync, 0, asioq::current_position);
    made.can_be_passed = can_be_passed;
    add(made);
    return made;
  }
  request_record& sync() { return sync(can_be_passed_); }
  request_record& write(std::uint64_t offset) { return submit(asio_op::write, 10, offset); }

 private:
  bool can_be_passed_;
};

inline bool transfers_pass_a_sync_that_waits(bool can_be_passed) {
  schedule_with_a_sync order(can_be_passed);
  request_record& first = order.write(0);
  request_record& sync = order.sync();
  request_record& second = order.write(100);
  request_record& third = order.submit(asio_op::read, 10, 0);
  order.answer_all();
  if (order.next() != &first) return false;
  if (can_be_passed && order.next() != &second) return false;
  if (order.next() != nullptr) return false;
  order.finish(first);
  if (order.next() != &sync) return false;
  if (can_be_passed && order.next() != &third) return false;
  if (order.next() != nullptr) return false;
  order.finish(sync);
  return can_be_passed || (order.next() == &second && order.next() == &third);
}

/// Even if something of the whole file has passed the sync before them.
inline bool syncs_and_closes_do_not_pass_a_sync(asio_op op, bool behind_what_has_passed) {
  schedule_with_a_sync order;
  request_record& first = order.write(0);
  request_record& sync = order.sync();
  request_record* const passing = behind_what_has_passed ? &order.submit(asio_op::truncate, 0, 2000) : nullptr;
  request_record& last =
      op == asio_op::close ? order.submit(op, 0, asioq::current_position) : order.sync(op == asio_op::fsync);
  order.answer_all();
  if (!order.starts_alone(first)) return false;
  order.finish(first);
  if (order.next() != &sync) return false;
  if (passing != nullptr) {
    if (!order.starts_alone(*passing)) return false;
    order.finish(*passing);
  }
  if (order.next() != nullptr) return false;
  order.finish(sync);
  return order.starts_alone(last);
}

inline bool the_tree_finds_the_youngest() {
  std::mt19937_64 random{1};
  for (int round = 0; round < 20; ++round) {
    asioq::detail::interval_tree tree;
    std::vector<asioq::detail::range> ranges(60);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const std::uint64_t begin = random() % 200;
      ranges[i].begin = {1, begin};
      ranges[i].end = {1, begin + 1 + random() % 50};
      ranges[i].age = i;
    }
    std::vector<bool> is_there(ranges.size());
    for (int step = 0; step < 400; ++step) {
      const std::size_t one = random() % ranges.size();
      is_there[one] ? tree.erase(ranges[one]) : tree.insert(ranges[one]);
      is_there[one] = !is_there[one];
      const asioq::detail::range& wanted = ranges[random() % ranges.size()];
      asioq::detail::range* expected = nullptr;
      for (std::size_t i = 0; i < wanted.age; ++i)
        if (is_there[i] && ranges[i].begin < wanted.end && wanted.begin < ranges[i].end) expected = &ranges[i];
      if (tree.find_youngest(wanted) != expected) return false;
    }
  }
  return true;
}

/// One old range is in the way, among many old ones that are not, and many that are too young.
inline bool a_long_search_has_an_answer() {
  constexpr std::uint64_t count = 2000;
  asioq::detail::interval_tree tree;
  std::deque<asioq::detail::range> ranges;
  const auto add = [&](std::uint64_t begin, std::uint64_t end, std::uint64_t age) {
    asioq::detail::range& made = ranges.emplace_back();
    made.begin = {1, begin};
    made.end = {1, end};
    made.age = age;
    tree.insert(made);
  };
  for (std::uint64_t i = 0; i < count; ++i) add(4 * i, 4 * i + 1, i);
  add(4 * count, 4 * count + 8, count);
  for (std::uint64_t i = 0; i < count; ++i) add(4 * i + 2, 8 * count, count + 2 + i);
  add(4 * count + 4, 4 * count + 5, count + 1);
  const asioq::detail::range& wanted = ranges.back();
  bool is_first_gone = false;
  for (;;) {
    asioq::detail::range* const answer = tree.find_any(wanted);
    if (answer == nullptr) return is_first_gone;
    if (answer->age >= wanted.age) return false;
    if (answer == &ranges[count]) is_first_gone = true;
    tree.erase(*answer);
  }
}

/// A failure log that is told and asked by number.
class short_log {
 public:
  explicit short_log(failure_policy on_failure) : log_(on_failure) {}

  void fail(std::uint64_t sequence, std::uint64_t acknowledged, int error = EIO, asio_op op = asio_op::write,
            const file_identity& file = {}) {
    made record(op, sequence, acknowledged);
    record.error = error;
    log_.record(record, file);
  }
  void finish(std::uint64_t sequence, std::uint64_t acknowledged) {
    log_.finished(made(asio_op::write, sequence, acknowledged));
  }
  int admits(std::uint64_t sequence, std::uint64_t acknowledged, asio_op op = asio_op::write,
             const file_identity& file = {}) {
    return log_.admits(made(op, sequence, acknowledged), file);
  }

 private:
  struct made : request_record {
    made(asio_op its_op, std::uint64_t its_sequence, std::uint64_t its_acknowledged)
        : request_record(nullptr, nullptr) {
      op = its_op;
      sequence = its_sequence;
      acknowledged = its_acknowledged;
    }
  };

  asioq::detail::failure_log log_;
};

inline bool a_failure_concerns_the_younger_that_do_not_acknowledge_it() {
  short_log log(failure_policy::hold);
  log.fail(5, 0);
  if (log.admits(4, 0) != 0 || log.admits(6, 0) != ECANCELED || log.admits(7, 6) != 0) return false;
  log.fail(8, 6);
  return log.admits(7, 6) == 0 && log.admits(9, 6) == ECANCELED && log.admits(10, 9) == 0;
}

inline bool a_failure_behind_a_failure_counts_too() {
  short_log log(failure_policy::hold);
  log.fail(5, 0);
  log.fail(6, 0);
  return log.admits(9, 0) == ECANCELED && log.admits(9, 6) == ECANCELED && log.admits(9, 7) == 0;
}

inline bool only_what_is_older_than_an_acknowledgement_is_forgotten() {
  short_log log(failure_policy::hold);
  log.fail(5, 0);
  log.fail(12, 6);
  log.fail(11, 6, EDQUOT, asio_op::fsync);
  log.finish(10, 6);
  return log.admits(13, 6) == ECANCELED;
}

inline bool a_failed_sync_is_of_its_file() {
  short_log log(failure_policy::proceed);
  constexpr file_identity file{.volume = 1, .file = 2, .generation = 3};
  constexpr file_identity other{.volume = 1, .file = 3, .generation = 3};
  constexpr file_identity later{.volume = 1, .file = 2, .generation = 4};
  log.fail(5, 0, EDQUOT, asio_op::fsync, file);
  return log.admits(6, 0, asio_op::fdatasync, file) == EDQUOT && log.admits(4, 0, asio_op::fsync, file) == 0 &&
         log.admits(6, 0, asio_op::fsync, other) == 0 && log.admits(6, 0, asio_op::fsync, later) == 0 &&
         log.admits(6, 0, asio_op::write, file) == 0 && log.admits(7, 6, asio_op::fsync, file) == 0;
}

inline bool a_sync_of_what_is_not_known_concerns_all() {
  using asioq::detail::unknown_file;
  constexpr file_identity file{.volume = 1, .file = 2, .generation = 3};
  constexpr file_identity now{.volume = 1, .file = 2, .generation = asioq::detail::unknown_generation};
  constexpr file_identity other{.volume = 1, .file = 3, .generation = asioq::detail::unknown_generation};
  short_log known(failure_policy::proceed);
  known.fail(5, 0, EDQUOT, asio_op::fsync, file);
  short_log unknown(failure_policy::proceed);
  unknown.fail(5, 0, EDQUOT, asio_op::fsync, unknown_file);
  short_log unknown_generation(failure_policy::proceed);
  unknown_generation.fail(5, 0, EDQUOT, asio_op::fsync, now);
  return known.admits(6, 0, asio_op::fsync, unknown_file) == EDQUOT &&
         known.admits(6, 0, asio_op::fsync, now) == EDQUOT && known.admits(6, 0, asio_op::fsync, other) == 0 &&
         unknown.admits(6, 0, asio_op::fsync, file) == EDQUOT &&
         unknown_generation.admits(6, 0, asio_op::fsync, file) == EDQUOT;
}

inline bool a_sync_that_was_not_tried_loses_nothing() {
  for (const int error : {EAGAIN, EBADF, ECANCELED, EINTR, EINVAL, ENOMEM, ENOSYS, EOPNOTSUPP}) {
    short_log log(failure_policy::proceed);
    log.fail(5, 0, error, asio_op::fsync);
    if (log.admits(6, 0, asio_op::fsync) != 0) return false;
  }
  return true;
}

inline bool a_file_is_told_from_a_later_one() {
  const descriptor file(::memfd_create("asioq-test", MFD_CLOEXEC));
  return asioq::detail::file_probe().identity(file.get()).generation == asioq::detail::generation_of(file.get());
}

/// A transfer of 8192 bytes, some of which are done.
struct transfer_on_trial {
  transfer_on_trial(asio_op op, std::size_t done, std::uint64_t offset = 0, int fd = -1)
      : record(nullptr, nullptr), from(done) {
    record.op = op;
    record.fd = fd;
    record.length = 8192;
    record.offset = offset;
    record.transferred = done;
  }

  /// Whether the rest is asked for after this answer, and from there.
  bool goes_on_from(std::size_t place, std::int64_t answer) {
    return asioq::detail::advance(record, from, answer) && from == place && record.error == 0;
  }
  /// Whether it has ended so.
  bool ends(std::int64_t answer, std::size_t transferred, int error) {
    return !asioq::detail::advance(record, from, answer) && record.transferred == transferred && record.error == error;
  }

  request_record record;
  std::size_t from;
};

inline bool the_rest_of_a_short_transfer_is_asked_for() {
  for (const asio_op op : {asio_op::read, asio_op::write, asio_op::write_back}) {
    transfer_on_trial its(op, 0);
    if (!its.goes_on_from(100, 100) || !its.ends(8092, 8192, 0)) return false;
  }
  return transfer_on_trial(asio_op::write, 0, asioq::current_position).goes_on_from(100, 100) &&
         transfer_on_trial(asio_op::read, 0, asioq::current_position).ends(100, 100, 0) &&
         transfer_on_trial(asio_op::read, 100).ends(0, 100, 0) &&
         transfer_on_trial(asio_op::write, 100).ends(0, 100, EIO);
}

inline bool an_interrupted_step_is_repeated_unless_it_closes() {
  return transfer_on_trial(asio_op::write, 100).goes_on_from(100, -EINTR) &&
         transfer_on_trial(asio_op::truncate, 0).goes_on_from(0, -EINTR) &&
         !transfer_on_trial(asio_op::close, 0).goes_on_from(0, -EINTR);
}

inline bool a_refused_rest_begins_at_its_sector() {
  transfer_on_trial read(asio_op::read, 4196);
  if (!read.goes_on_from(4096, -EINVAL) || !read.ends(100, 4196, 0)) return false;
  if (!transfer_on_trial(asio_op::read, 4096).ends(-EINVAL, 4096, EINVAL)) return false;
  if (!transfer_on_trial(asio_op::read, 4196, asioq::current_position).ends(-EINVAL, 4196, EINVAL)) return false;
  // Of a descriptor a write looks at the flags alone, and a pipe takes O_DIRECT everywhere.
  const pipe_ends pipe;
  const auto write = [&](int flags) {
    if (::fcntl(pipe.write_end.get(), F_SETFL, flags) != 0) throw_errno("F_SETFL");
    return transfer_on_trial(asio_op::write, 4196, 0, pipe.write_end.get());
  };
  return write(O_DIRECT).goes_on_from(4096, -EINVAL) && write(0).ends(-EINVAL, 4196, EINVAL) &&
         write(O_DIRECT | O_APPEND).ends(-EINVAL, 4196, EINVAL);
}

/// Keeps what it is given until it is polled or asked for its descriptor; completes all when it is polled.
class keeping_engine : public io_engine_base {
 public:
  void start(asioq::io_operation& operation) override { kept.push_back(&operation); }
  void poll() override {
    begin();
    for (asioq::io_operation* const operation : std::exchange(begun, {})) operation->complete(outcome);
  }
  void wait_until(std::chrono::steady_clock::time_point /*deadline*/) override { poll(); }
  void cancel(asioq::io_operation& /*operation*/) noexcept override { ++cancelled; }
  int native_handle() override {
    begin();
    return 0;
  }
  void keep_readable(bool on) noexcept override { readers += on ? 1 : -1; }

  std::vector<asioq::io_operation*> kept;
  std::vector<asioq::io_operation*> begun;
  std::int64_t outcome = 0;
  int cancelled = 0;
  int readers = 0;

 private:
  void begin() {
    begun.insert(begun.end(), kept.begin(), kept.end());
    kept.clear();
  }
};

/// What a queue has on an engine that others may use, too.
class queue_on_engine {
 public:
  explicit queue_on_engine(keeping_engine& engine, failure_policy on_failure = failure_policy::proceed)
      : executor_(engine), its_(*new dispatcher_type(executor_, 4, on_failure)) {}
  queue_on_engine(const queue_on_engine&) = delete;
  queue_on_engine& operator=(const queue_on_engine&) = delete;
  ~queue_on_engine() { its_.leave(); }

  request_record& submit() {
    request_record& made = requests_.make(asio_op::read, 1, 10, 0);
    ++submitted_;
    its_.submit(made);
    return made;
  }
  void poll() { its_.poll(submitted_); }
  /// Returns whether the owner may sleep.
  bool watch() { return its_.watch(submitted_, its_.finished(), submitted_); }
  void set_readable() { its_.set_readable(); }
  void cancel(request_record& one) {
    one.cancel();
    its_.cancel(&one);
  }
  [[nodiscard]] std::uint64_t finished() const { return its_.finished(); }

 private:
  using dispatcher_type = asioq::detail::io_dispatcher<any_io_executor>;

  requests requests_;
  any_io_executor executor_;
  asioq::detail::dispatcher& its_;
  std::uint64_t submitted_ = 0;
};

inline bool an_owner_that_may_sleep_has_begun_all() {
  keeping_engine engine;
  engine.outcome = 10;
  queue_on_engine queue(engine);
  queue.submit();
  if (engine.kept.size() != 1) return false;
  if (!queue.watch() || !engine.kept.empty() || engine.begun.size() != 1) return false;
  queue.poll();
  return queue.finished() == 1;
}

inline bool what_another_queue_completes_makes_the_descriptor_readable() {
  keeping_engine engine;
  engine.outcome = 10;
  queue_on_engine one(engine);
  queue_on_engine other(engine);
  other.submit();
  if (!other.watch() || engine.readers != 0) return false;
  one.poll();
  if (other.finished() != 1 || engine.readers != 1) return false;
  other.set_readable();  // still something to find
  if (engine.readers != 1) return false;
  return other.watch() && engine.readers == 0;
}

inline bool what_is_ended_before_a_byte_has_moved_is_no_failure() {
  keeping_engine engine;
  queue_on_engine queue(engine, failure_policy::hold);
  request_record& ended = queue.submit();
  queue.poll();  // an end of file, so that the next is not alone in a new order
  request_record& second = queue.submit();
  queue.cancel(second);
  engine.outcome = -EINTR;
  queue.poll();
  engine.outcome = 10;
  request_record& later = queue.submit();
  queue.poll();
  return ended.error == 0 && engine.cancelled == 1 && second.error == ECANCELED && later.error == 0 &&
         queue.finished() == 3;
}

inline const char* first_broken() {
  struct rule {
    const char* name;
    bool (*holds)();
  };
  constexpr std::array all{
      rule{"the oldest begins before anything is known", the_oldest_begins_before_anything_is_known},
      rule{"others than the oldest wait for the facts", others_than_the_oldest_wait_for_the_facts},
      rule{"what the kernel does not tell of runs alone", what_the_kernel_does_not_tell_of_runs_alone},
      rule{"nothing finishes while its descriptor is asked about",
           nothing_finishes_while_its_descriptor_is_asked_about},
      rule{"a close waits while its descriptor is asked about", a_close_waits_while_its_descriptor_is_asked_about},
      rule{"a size found during a truncate is none", a_size_found_during_a_truncate_is_none},
      rule{"a truncate lowers the known size", [] { return a_truncate_lowers_the_known_size(1); }},
      rule{"a truncate lowers what other descriptors know", [] { return a_truncate_lowers_the_known_size(2); }},
      rule{"what was cut off again tells no size", what_was_cut_off_again_tells_no_size},
      rule{"what a short write left out tells no size", what_a_short_write_left_out_tells_no_size},
      rule{"an appended write tells no size", an_appended_write_tells_no_size},
      rule{"what comes after a close runs one by one", what_comes_after_a_close_runs_one_by_one},
      rule{"a close waits for empty reads", [] { return a_close_waits_for_what_transfers_nothing(asio_op::read); }},
      rule{"a close waits for empty writes", [] { return a_close_waits_for_what_transfers_nothing(asio_op::write); }},
      rule{"another file is never in the way", another_file_is_never_in_the_way},
      rule{"transfers pass a sync without a barrier", [] { return transfers_pass_a_sync_that_waits(true); }},
      rule{"transfers do not pass a sync with a barrier", [] { return transfers_pass_a_sync_that_waits(false); }},
      rule{"a sync does not pass a sync", [] { return syncs_and_closes_do_not_pass_a_sync(asio_op::fsync, false); }},
      rule{"a barrier does not pass a sync",
           [] { return syncs_and_closes_do_not_pass_a_sync(asio_op::fdatasync, false); }},
      rule{"a close does not pass a sync", [] { return syncs_and_closes_do_not_pass_a_sync(asio_op::close, false); }},
      rule{"a sync does not pass a sync that others have passed",
           [] { return syncs_and_closes_do_not_pass_a_sync(asio_op::fsync, true); }},
      rule{"a close does not pass a sync that others have passed",
           [] { return syncs_and_closes_do_not_pass_a_sync(asio_op::close, true); }},
      rule{"the tree finds the youngest", the_tree_finds_the_youngest},
      rule{"a long search has an answer", a_long_search_has_an_answer},
      rule{"a late answer tells nothing", a_late_answer_tells_nothing},
      rule{"a truncate of an unknown file cuts all", a_truncate_of_an_unknown_file_cuts_all},
      rule{"a failure concerns the younger that do not acknowledge it",
           a_failure_concerns_the_younger_that_do_not_acknowledge_it},
      rule{"a failure behind a failure counts too", a_failure_behind_a_failure_counts_too},
      rule{"only what is older than an acknowledgement is forgotten",
           only_what_is_older_than_an_acknowledgement_is_forgotten},
      rule{"a failed sync is of its file", a_failed_sync_is_of_its_file},
      rule{"a sync of what is not known concerns all", a_sync_of_what_is_not_known_concerns_all},
      rule{"a sync that was not tried loses nothing", a_sync_that_was_not_tried_loses_nothing},
      rule{"a file is told from a later one", a_file_is_told_from_a_later_one},
      rule{"the rest of a short transfer is asked for", the_rest_of_a_short_transfer_is_asked_for},
      rule{"an interrupted step is repeated unless it closes", an_interrupted_step_is_repeated_unless_it_closes},
      rule{"a refused rest begins at its sector", a_refused_rest_begins_at_its_sector},
      rule{"an owner that may sleep has begun all", an_owner_that_may_sleep_has_begun_all},
      rule{"what another queue completes makes the descriptor readable",
           what_another_queue_completes_makes_the_descriptor_readable},
      rule{"what is ended before a byte has moved is no failure", what_is_ended_before_a_byte_has_moved_is_no_failure},
  };
  const auto* const broken = std::ranges::find_if(all, [](const rule& one) { return !one.holds(); });
  return broken == all.end() ? nullptr : broken->name;
}

}  // namespace asioq_test::rules
