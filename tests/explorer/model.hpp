// What comes of requests that run one by one: on strings, at once, with the failures of their plans.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/options.hpp>

#include <algorithm>
#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "fibers.hpp"
#include "files.hpp"

namespace asioq_explorer {

/// A request from its submission on, and what must come of it.
struct request_record : transfer {
  asioq::asio_op op = asioq::asio_op::free;
  std::uint64_t sequence = 0;
  std::string text;  // a write's

  int error = 0;  // an errno value
  std::size_t transferred = 0;
  std::string data;  // what a read gives
  bool is_carried_out = false;

  bool has_receiver = false;
  std::coroutine_handle<> waiting;  // the coroutine that waits for it
  bool is_abandoned = false;        // that has been destroyed
  std::stop_source stop{std::nostopstate};
  bool is_asked_to_stop = false;  // it may have been cancelled
  bool must_not_begin = false;    // it had not begun, and no thread had it in hand, when that happened

  /// How the queue says that it went, from when it says so; used where that is not known before.
  int said_error = 0;
  std::size_t said_transferred = 0;
  std::string said_data;

  bool may_be_reported = false;  // a thrown write_back_error may have covered it
  bool is_lost = false;          // on_lost_failure was called with it
  bool has_returned = false;
};

class serial_model {
 public:
  serial_model(const simulated_system& system, asioq::failure_policy on_failure)
      : files_(system.files), descriptors_(system.descriptors), failed_syncs_(files_.size()), on_failure_(on_failure) {}

  [[nodiscard]] const std::string& content(std::size_t file) const { return files_[file].content; }

  /// The owner has opened another file, and got this number.
  void open(int fd, const descriptor& its) { descriptors_[static_cast<std::size_t>(fd - first_fd)] = its; }

  /// The next request, whose owner has dealt with the failures of all requests before `acknowledged`.
  void run(request_record& its, std::uint64_t acknowledged) {
    const bool is_held = on_failure_ == asioq::failure_policy::hold && held_since_.counts(acknowledged);
    if (is_held)
      its.error = ECANCELED;
    else
      carry_out(its, acknowledged);
    if (its.error != 0 && !is_held) held_since_ = {its.error, its.sequence};
  }

  /// The same, where a request may have been cancelled, and `is_cancelled` says whether it was. Unless requests are
  /// `in_order`, what is younger than a failure may have begun before it.
  void follow(request_record& its, std::uint64_t acknowledged, bool is_cancelled, bool in_order) {
    const bool is_held = on_failure_ == asioq::failure_policy::hold && held_since_.counts(acknowledged);
    const auto number = static_cast<unsigned long long>(its.sequence);
    if (is_cancelled && !is_held && !its.is_asked_to_stop)
      schedule::found("request %llu is cancelled, though nothing before it has failed", number);
    if (!is_cancelled && is_held && in_order) schedule::found("request %llu was to be held", number);
    if (!is_cancelled && its.must_not_begin) schedule::found("request %llu was cancelled and has begun", number);
    if (is_cancelled)
      its.error = ECANCELED;
    else
      carry_out(its, acknowledged);
    if (its.error != 0 && !is_cancelled) held_since_ = {its.error, its.sequence};
  }

 private:
  struct failure {
    int error = 0;  // 0: none
    std::uint64_t sequence = 0;

    [[nodiscard]] bool counts(std::uint64_t acknowledged) const { return error != 0 && sequence >= acknowledged; }
  };

  void carry_out(request_record& its, std::uint64_t acknowledged) {
    its.is_carried_out = true;
    if (!at(its).is_open)
      its.error = EBADF;
    else if (its.what == operation::sync)
      sync(its, acknowledged);
    else if (is_transfer(its.what))
      transfer_all(its);
    else
      perform(its);
  }

  descriptor& at(const request_record& its) { return descriptors_[static_cast<std::size_t>(its.fd - first_fd)]; }

  void sync(request_record& its, std::uint64_t acknowledged) {
    const std::size_t which = at(its).file;
    failure& last = failed_syncs_[which];
    if (last.counts(acknowledged))
      its.is_carried_out = false;
    else
      last = {until_not_interrupted(files_[which].syncs), its.sequence};
    its.error = last.error;
  }

  static int until_not_interrupted(call_plan& plan) {
    for (;;)
      if (const int error = plan.next(); error != EINTR) return error;
  }

  void perform(request_record& its) {
    simulated_file& file = files_[at(its).file];
    if (its.what == operation::close) {
      at(its).is_open = false;
      const int error = at(its).closes.next();
      its.error = error == EINTR ? 0 : error;
      return;
    }
    its.error = until_not_interrupted(file.resizes);
    if (its.error != 0) return;
    if (its.what == operation::truncate)
      truncate(file.content, its.offset);
    else
      allocate(file.content, its.offset, its.length);
  }

  void transfer_all(request_record& its) {
    descriptor& where = at(its);
    std::string& content = files_[where.file].content;
    const bool moves_position = its.offset == at_position;
    for (std::size_t calls = 0; its.transferred < its.length; ++calls) {
      std::size_t part = next_part(its.plan, calls, its.transferred, its.length);
      if (part == 0) {
        its.error = EIO;
        return;
      }
      std::size_t from = moves_position ? where.position : static_cast<std::size_t>(its.offset) + its.transferred;
      if (its.what == operation::read) {
        part = from < content.size() ? std::min(part, content.size() - from) : 0;
        its.data += content.substr(std::min(from, content.size()), part);
      } else {
        if (where.appends) from = content.size();
        if (content.size() < from + part) content.resize(from + part);
        content.replace(from, part, its.text, its.transferred, part);
      }
      its.transferred += part;
      if (moves_position) where.position = from + part;
      if (its.what == operation::read && (part == 0 || moves_position)) return;
    }
  }

  std::vector<simulated_file> files_;
  std::vector<descriptor> descriptors_;
  std::vector<failure> failed_syncs_;  // for each file, the one that its syncs have to report
  asioq::failure_policy on_failure_;
  failure held_since_;
};

}  // namespace asioq_explorer
