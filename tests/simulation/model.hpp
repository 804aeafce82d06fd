// What must be true of a queue and its requests: their results as of a serial run with the same failures, on strings;
// who may begin when; how each comes back; the counts.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/error.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/operation.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "finding.hpp"
#include "program.hpp"

namespace asioq_simulation {

using asioq::asio_op;

/// What the scheduler has decided for one step of a request, a system call or an operation of a disk.
struct fate {
  static constexpr std::size_t unlimited = ~std::size_t{0};

  int refusal = 0;                // what it ends with instead of doing anything
  std::size_t limit = unlimited;  // bytes that it moves at most
};

/// A step that has ended.
struct step_taken {
  fate its;
  std::int64_t outcome = 0;
  std::string seen;  // of a sync: what was in the file
};

/// A request from its submission on.
struct request {
  // What was asked for.
  asio_op op = asio_op::free;
  int fd = -1;
  std::uint64_t offset = asioq::current_position;
  std::size_t length = 0;
  std::size_t first = 0;
  const std::byte* buffer = nullptr;
  std::string content;  // of the whole buffer, when it was submitted
  std::uint64_t sequence = 0;
  std::uint64_t acknowledged = 0;  // failures of requests below this have been dealt with
  std::uint64_t luck = 0;
  lane comes_back = lane::collected;

  // How it waits.
  bool is_abandoned = false;  // its coroutine has been destroyed
  std::stop_source stop{std::nostopstate};

  // What has happened to it.
  bool is_cancelled = false;    // before it had begun
  bool is_cut_short = false;    // while a step was with the disk
  bool may_be_refused = false;  // the executor has refused it in a call that blocks
  int latched = 0;              // the error of an earlier sync, if its descriptor has been closed since
  bool has_begun = false;
  bool is_in_step = false;
  bool is_over = false;  // its last step has ended
  std::vector<step_taken> steps;
  std::size_t calls = 0;  // that have begun; those that several requests share may be no steps
  std::size_t done = 0;   // bytes moved
  int error = 0;

  // What a serial run makes of it.
  bool is_error_known = true;  // else it is what the queue says, one of those that are right
  std::string data;            // that it reads

  bool is_reported = false;      // a thrown write_back_error has covered it
  bool may_be_reported = false;  // perhaps
  bool has_returned = false;

  [[nodiscard]] const asioq::operation_traits& traits() const noexcept { return asioq::traits_of(op); }
  [[nodiscard]] bool at_position() const noexcept { return offset == asioq::current_position; }
  [[nodiscard]] bool is_own_write_back() const noexcept {
    return op == asio_op::write_back && comes_back == lane::collected;
  }
  [[nodiscard]] std::uint64_t offset_from(std::size_t from) const noexcept {
    return at_position() ? offset : offset + from;
  }
};

inline constexpr std::size_t shared_file = 0;

/// The files of a program and its descriptors, as the serial runs of all its queues have left them.
class modelled_files {
 public:
  struct descriptor {
    std::size_t file = 0;
    bool appends = false;
    bool is_open = true;
    std::size_t position = 0;
  };

  std::vector<std::string> contents;
  std::map<int, descriptor> descriptors;

  /// Carries out one step of a request and adds what it reads to `data`.
  std::int64_t carry_out(const request& its, const step_taken& taken, std::size_t from, std::string& data) {
    const fate& decided = taken.its;
    // A close has closed whatever its error is, unless it was cancelled.
    if (decided.refusal != 0 && (its.op != asio_op::close || decided.refusal == ECANCELED)) return -decided.refusal;
    const auto found_at = descriptors.find(its.fd);
    if (found_at == descriptors.end() || !found_at->second.is_open) return -EBADF;
    descriptor& where = found_at->second;
    std::string& content = contents[where.file];
    switch (its.op) {
      case asio_op::close:
        where.is_open = false;
        return -decided.refusal;
      case asio_op::truncate:
        content.resize(static_cast<std::size_t>(its.offset));
        return 0;
      case asio_op::allocate:
        content.resize(std::max(content.size(), static_cast<std::size_t>(its.offset) + its.length));
        return 0;
      case asio_op::read:
      case asio_op::write:
      case asio_op::write_back:
        return transfer(its, decided.limit, from, where, content, data);
      default:
        return 0;
    }
  }

 private:
  static std::int64_t transfer(const request& its, std::size_t limit, std::size_t from, descriptor& where,
                               std::string& content, std::string& data) {
    std::size_t place = its.at_position() ? where.position : static_cast<std::size_t>(its.offset) + from;
    std::size_t count = std::min(limit, its.length - from);
    if (its.op == asio_op::read) {
      count = place < content.size() ? std::min(count, content.size() - place) : 0;
      if (count != 0) data.append(content, place, count);
    } else {
      if (where.appends) place = content.size();
      if (count != 0 && content.size() < place + count) content.resize(place + count);
      content.replace(std::min(place, content.size()), count, its.content, its.first + from, count);
    }
    // Even if it appends, a write of nothing moves no position.
    if (its.at_position() && count != 0) where.position = place + count;
    return static_cast<std::int64_t>(count);
  }
};

/// One queue's books, as they must be.
class queue_model {
 public:
  queue_model(std::size_t number, const queue_plan& plan, engine on, modelled_files& files)
      : number_(number), plan_(plan), on_(on), files_(&files) {}

  [[nodiscard]] bool is_strict() const noexcept {
    return plan_.order == asioq::execution_order::strict || plan_.max_in_flight == 1;
  }
  [[nodiscard]] const std::deque<request>& requests() const noexcept { return all_; }

  /// A request that is about to be submitted: the engine may begin it at once.
  request& add(request its) {
    its.sequence = all_.size();
    its.acknowledged = acknowledged_;
    all_.push_back(std::move(its));
    return all_.back();
  }
  /// It has not been taken after all.
  void take_back(const request& its) {
    if (&its != &all_.back()) found("request %s: not the youngest", name(its).c_str());
    if (its.has_begun) found("submit has thrown, and request %s has begun", name(its).c_str());
    all_.pop_back();
  }

  /// The request of which this byte is in the buffer: the youngest, since buffers are used again.
  request* find(const std::byte* data) {
    for (auto one = all_.rbegin(); one != all_.rend(); ++one)
      if (data >= one->buffer && data <= one->buffer + buffer_size && !one->has_returned && !one->is_over) return &*one;
    return nullptr;
  }
  /// The oldest request that asks for this, has not ended and may begin; null if there is none.
  request* find(asio_op op, int fd, std::size_t length, std::uint64_t offset) {
    for (request& one : all_)
      if (!one.is_over && !one.has_returned && one.op == op && one.fd == fd && one.length == length &&
          (op == asio_op::close || one.traits().is_sync || one.offset == offset) &&
          (one.has_begun || !must_not_begin(one)))
        return &one;
    return nullptr;
  }

  /// A step for these requests begins: several are one call.
  void begin(std::span<request* const> together) {
    for (const request* const one : together)
      if (is_told()) note("    request %s of queue %zu: a step begins", name(*one).c_str(), number_);
    for (request* const one : together) begin_one(*one, *together.front());
    if (together.size() > 1 && plan_.on_failure == asioq::failure_policy::hold)
      found("request %s leaves with others under hold", name(*together.front()).c_str());
    if (is_strict()) return;
    const auto in_flight = static_cast<std::size_t>(
        std::ranges::count_if(all_, [](const request& one) { return one.has_begun && !one.is_over; }));
    if (in_flight > plan_.max_in_flight) found("%zu requests are in flight", in_flight);
  }

  /// The step is over for one of them: it has moved something, or was for this one alone.
  void end(request& its, step_taken taken) {
    its.is_in_step = false;
    const std::int64_t outcome = taken.outcome;
    if (is_told())
      note("    request %s of queue %zu: a step ends with %lld", name(its).c_str(), number_,
           static_cast<long long>(outcome));
    its.steps.push_back(std::move(taken));
    if (outcome == -EINTR && its.is_cut_short) return finish(its, ECANCELED);
    if (outcome == -EINTR) {
      if (its.op == asio_op::close) finish(its, 0);
      return;
    }
    if (outcome < 0) return finish(its, static_cast<int>(-outcome));
    if (!its.traits().transfers) return finish(its, 0);
    its.done += static_cast<std::size_t>(outcome);
    if (its.done == its.length) return finish(its, 0);
    if (outcome == 0) return finish(its, its.traits().writes ? EIO : 0);
    if (its.at_position() && !its.traits().writes) return finish(its, 0);
    if (its.is_cut_short) finish(its, ECANCELED);
  }
  /// The step was for several, and has not reached this one.
  static void end_without_effect(request& its) { its.is_in_step = false; }

  /// The executor refuses the rest of a request.
  void refuse_rest(request& its, int error) { finish(its, error); }

  /// Whether a step of it must not begin now, nor later.
  [[nodiscard]] bool must_not_begin(const request& its) const {
    return its.is_cancelled || is_held(its) || latched_error(its) != 0;
  }

  /// All that has not begun has been cancelled.
  void cancel() {
    for (request& one : all_) {
      if (one.is_over || one.has_returned) continue;
      if (on_ == engine::disk && one.is_in_step)
        one.is_cut_short = true;
      else if (!one.has_begun)
        one.is_cancelled = true;
    }
  }
  /// The same for one.
  static void stop(request& its) {
    if (!its.has_begun) its.is_cancelled = true;
  }

  void resume(std::uint64_t finished) { acknowledged_ = finished; }

  /// On a disk, checks that what may be in flight is. A queue may be more careful than it has to be, so only requests
  /// count that are surely free to begin, and none behind a close.
  void check_that_it_goes_on() const {
    auto in_flight = static_cast<std::size_t>(std::ranges::count(all_, true, &request::is_in_step));
    for (std::uint64_t i = finished_; i < all_.size(); ++i) {
      const request& its = all_[i];
      if (in_flight == (is_strict() ? 1 : plan_.max_in_flight)) return;
      if (its.is_over || its.is_in_step) continue;
      bool is_free = true;
      for (std::uint64_t older = finished_; older < i && is_free; ++older)
        is_free = all_[older].is_over || are_independent(all_[older], its);
      if (is_free && !must_not_begin(its)) found("request %s could be in flight, and is not", name(its).c_str());
      if (its.op == asio_op::close || is_strict()) return;
    }
  }

  /// How many requests, counted from the oldest, need nothing more to count as finished; those that end without a step
  /// included.
  [[nodiscard]] std::uint64_t leading() const {
    std::uint64_t count = finished_;
    while (count < all_.size() && (all_[count].is_over || (!all_[count].has_begun && must_not_begin(all_[count]))))
      ++count;
    return count;
  }
  /// The same without these.
  [[nodiscard]] std::uint64_t surely_over() const {
    std::uint64_t count = finished_;
    while (count < all_.size() && all_[count].is_over) ++count;
    return count;
  }

  /// The queue says that so many have finished. They get the results of a serial run.
  void finished(std::uint64_t count) {
    if (count < finished_)
      found("completed_through() has gone back from %llu to %llu", number(finished_), number(count));
    if (count > all_.size()) found("completed_through() is %llu of %zu", number(count), all_.size());
    for (; finished_ < count; ++finished_) replay(all_[finished_]);
  }
  [[nodiscard]] std::uint64_t finished() const noexcept { return finished_; }

  /// The oldest failed write-back that has finished among the first `end` and has to be collected; null if none.
  [[nodiscard]] const request* failed_write_back(std::uint64_t end) const {
    const auto its = std::ranges::find_if(all_, [end](const request& one) {
      return one.sequence < end && one.is_own_write_back() && one.error != 0 && !one.has_returned;
    });
    return its == all_.end() ? nullptr : &*its;
  }
  void reported(std::uint64_t surely, std::uint64_t perhaps) {
    for (std::uint64_t i = 0; i < perhaps; ++i) {
      if (!all_[i].is_own_write_back() || all_[i].error == 0 || all_[i].has_returned) continue;
      (i < surely ? all_[i].is_reported : all_[i].may_be_reported) = true;
    }
  }
  void check(const asioq::write_back_error& error, const request* oldest) const {
    if (oldest == nullptr) found("a write_back_error, and no write-back has failed");
    const int code = error.code().value();
    const bool is_its_error =
        code == oldest->error || (!oldest->is_error_known && (code == ECANCELED || code == EAGAIN));
    if (error.fd() != oldest->fd || error.offset() != oldest->offset || error.length() != oldest->length ||
        !is_its_error)
      found("a write_back_error that is not about request %s", name(*oldest).c_str());
  }

  /// The next that has to come back by collecting, or by delivering; null if there is none among the finished.
  [[nodiscard]] const request* next(bool delivered) const {
    for (std::uint64_t i = 0; i < finished_; ++i) {
      const request& one = all_[i];
      if (one.has_returned || (one.comes_back != lane::collected) != delivered) continue;
      if (one.is_own_write_back() && one.error == 0) continue;
      return &one;
    }
    return nullptr;
  }
  /// A request has come back.
  void came_back(const asioq::asio_request& done, bool delivered) {
    auto* const its = static_cast<request*>(done.user_data());
    if (its == nullptr) found("a request came back without its user_data");
    if (its->has_returned) found("request %s came back twice", name(*its).c_str());
    if (its->sequence >= finished_) found("request %s came back unfinished", name(*its).c_str());
    pass_abandoned(*its);
    if (const request* const expected = next(delivered); expected != its)
      found("request %s came back by %s instead of %s", name(*its).c_str(), delivered ? "delivery" : "collecting",
            expected == nullptr ? "none" : name(*expected).c_str());
    if (is_told())
      note("    request %s of queue %zu comes back with error %d and %zu bytes", name(*its).c_str(), number_,
           done.error().value(), done.bytes_transferred());
    its->has_returned = true;
    check_result(done, *its);
  }

  /// A failure is said to be lost: the queue goes, or its coroutine has gone.
  void lost(const asioq::asio_request& done) {
    auto* const its = static_cast<request*>(done.user_data());
    if (its == nullptr) found("a request is lost without its user_data");
    if (its->has_returned) found("request %s is lost, and came back", name(*its).c_str());
    if (its->sequence >= finished_) found("request %s is lost unfinished", name(*its).c_str());
    if (its->comes_back != lane::collected && !its->is_abandoned)
      found("request %s was to be delivered", name(*its).c_str());
    if (its->error == 0 || !its->traits().may_lose) found("request %s has lost nothing", name(*its).c_str());
    if (its->is_reported) found("request %s is lost, and was reported", name(*its).c_str());
    its->has_returned = true;
    check_result(done, *its);
  }

  /// The queue is gone.
  void check_end() const {
    if (finished_ != all_.size()) found("the queue has ended with %zu unfinished requests", all_.size() - finished_);
    for (const request& one : all_) {
      if (one.has_returned) continue;
      if (one.comes_back != lane::collected && !one.is_abandoned)
        found("request %s was not delivered", name(one).c_str());
      if (one.error != 0 && one.traits().may_lose && !one.is_reported && !one.may_be_reported)
        found("the failure of request %s was lost", name(one).c_str());
    }
  }

  /// Requests out of the idle list, if those up to `settled` have been taken in: with the queue or to come back.
  [[nodiscard]] std::size_t with_queue(std::uint64_t settled) const {
    std::size_t count = 0;
    for (const request& one : all_) {
      if (one.has_returned) continue;
      const bool is_settled = one.sequence < settled;
      if (is_settled && one.is_own_write_back() && one.error == 0) continue;
      if (is_settled && one.is_abandoned) continue;  // perhaps delivered
      ++count;
    }
    return count;
  }
  [[nodiscard]] std::size_t unfinished_write_backs() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        all_, [this](const request& one) { return one.op == asio_op::write_back && one.sequence >= finished_; }));
  }
  [[nodiscard]] std::size_t abandoned() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(all_, [](const request& one) { return one.is_abandoned && !one.has_returned; }));
  }

  std::deque<request>& all() noexcept { return all_; }

  static std::string name(const request& its) { return std::to_string(its.sequence) + " (" + its.traits().name + ")"; }

 private:
  struct failure {
    std::uint64_t sequence = 0;
    std::size_t file = 0;
    int error = 0;
  };

  static unsigned long long number(std::uint64_t its) noexcept { return its; }

  [[nodiscard]] static bool concerns(const failure& its, const request& other) noexcept {
    return its.sequence < other.sequence && its.sequence >= other.acknowledged;
  }
  [[nodiscard]] bool is_held(const request& its) const {
    return plan_.on_failure == asioq::failure_policy::hold &&
           std::ranges::any_of(failures_, [&](const failure& one) { return concerns(one, its); });
  }
  /// Whether it may have been held because of a refusal that is not known for certain.
  [[nodiscard]] bool may_be_held(const request& its) const {
    return plan_.on_failure == asioq::failure_policy::hold && std::ranges::any_of(all_, [&](const request& one) {
             return one.may_be_refused && one.steps.empty() && concerns({.sequence = one.sequence}, its);
           });
  }
  [[nodiscard]] int latched_error(const request& its) const {
    if (its.latched != 0 || !its.traits().is_sync || failed_syncs_.empty()) return its.latched;
    const auto where = now_.find(its.fd);
    if (where == now_.end()) return 0;
    const auto found_at = std::ranges::find_if(
        failed_syncs_, [&](const failure& one) { return one.file == where->second && concerns(one, its); });
    return found_at == failed_syncs_.end() ? 0 : found_at->error;
  }

  /// Whether one could observe the other, or is taken for it: see docs/explanation/as-if-serial.md. There is more where
  /// a read may reach the end of the file: that shows in the results.
  [[nodiscard]] bool surely_conflict(const request& first, const request& second) const {
    if (first.fd == second.fd && (first.op == asio_op::close || second.op == asio_op::close)) return true;
    const auto its = now_.find(first.fd);
    const auto others = now_.find(second.fd);
    if (its == now_.end() || others == now_.end() || its->second != others->second) return false;
    if (is_of_whole_file(first) || is_of_whole_file(second)) return true;
    return (first.traits().writes || second.traits().writes) && first.offset < second.offset + second.length &&
           second.offset < first.offset + first.length;
  }
  /// Whether neither could observe the other, for a reason that a queue is sure to see.
  [[nodiscard]] bool are_independent(const request& first, const request& second) const {
    if (first.op == asio_op::close) return false;
    const auto its = now_.find(first.fd);
    const auto others = now_.find(second.fd);
    if (its == now_.end() && others == now_.end()) return false;
    if (its == now_.end() || others == now_.end() || its->second != others->second) return true;
    if (is_of_whole_file(first) || is_of_whole_file(second) || first.traits().writes != second.traits().writes)
      return false;
    return !first.traits().writes || first.offset >= second.offset + std::max<std::size_t>(second.length, 1) ||
           second.offset >= first.offset + std::max<std::size_t>(first.length, 1);
  }
  [[nodiscard]] bool is_of_whole_file(const request& its) const {
    return !its.traits().of_a_range || its.at_position() ||
           (its.traits().writes && files_->descriptors[its.fd].appends);
  }

  void begin_one(request& its, const request& first_of_call) {
    if (its.has_returned || its.is_over) found("a step of request %s, which has ended", name(its).c_str());
    if (its.is_in_step) found("two steps of request %s at a time", name(its).c_str());
    if (!its.has_begun) {
      if (its.is_cancelled) found("request %s was cancelled, and begins", name(its).c_str());
      if (is_held(its)) found("request %s is to be held, and begins", name(its).c_str());
      if (latched_error(its) != 0) found("request %s is asked of the kernel after a failed one", name(its).c_str());
    }
    for (std::uint64_t i = finished_; is_strict() && i < first_of_call.sequence; ++i) {
      const request& older = all_[i];
      const bool ends_without = !older.has_begun && (must_not_begin(older) || older.may_be_refused);
      if (!older.is_over && !ends_without)
        found("a step of request %s before %s has ended", name(its).c_str(), name(older).c_str());
    }
    for (std::uint64_t i = finished_; !is_strict() && !its.has_begun && i < first_of_call.sequence; ++i) {
      const request& older = all_[i];
      const bool ends_without = !older.has_begun && (must_not_begin(older) || older.may_be_refused);
      if (!older.is_over && !ends_without && surely_conflict(older, its))
        found("request %s begins before %s has ended, which is in its way", name(its).c_str(), name(older).c_str());
    }
    its.has_begun = its.is_in_step = true;
    ++its.calls;
  }

  void finish(request& its, int error) {
    its.is_over = true;
    its.error = error;
    if (its.op == asio_op::close && error != ECANCELED) forget(its);
    if (error == 0 || (its.is_cut_short && error == ECANCELED && its.done == 0)) return;
    failures_.push_back({.sequence = its.sequence, .error = error});
    if (!its.traits().is_sync || !lasts(error)) return;
    if (const auto where = now_.find(its.fd); where != now_.end())
      failed_syncs_.push_back({.sequence = its.sequence, .file = where->second, .error = error});
  }

  /// From here on the number means nothing. Older syncs have ended, if only with the error of one that failed.
  void forget(const request& closed) {
    for (std::uint64_t i = finished_; i < closed.sequence; ++i)
      if (request& one = all_[i]; one.fd == closed.fd && !one.has_begun) one.latched = latched_error(one);
    now_.erase(closed.fd);
  }

  /// Errors that say "not tried" or "cannot be synced" do not.
  static bool lasts(int error) noexcept { return error == EIO || error == ENOSPC || error == EDQUOT; }

  void replay(request& its) {
    if (its.steps.empty()) return end_without_steps(its);
    if (!its.is_over) found("request %s has finished, and was not carried out to its end", name(its).c_str());
    std::size_t from = 0;
    for (const step_taken& taken : its.steps) {
      const std::int64_t expected = files_->carry_out(its, taken, from, its.data);
      if (expected != taken.outcome)
        found("a step of request %s has given %lld, but in a serial run %lld", name(its).c_str(),
              static_cast<long long>(taken.outcome), static_cast<long long>(expected));
      if (its.traits().is_sync && expected == 0) check_what_it_has_seen(its, taken);
      if (expected > 0) from += static_cast<std::size_t>(expected);
    }
  }

  /// Whether a sync was carried out when all older requests were, and no younger one.
  void check_what_it_has_seen(const request& its, const step_taken& taken) const {
    const std::size_t file = files_->descriptors.find(its.fd)->second.file;
    if (file != shared_file && taken.seen != files_->contents[file])
      found("request %s has found something else in the file than a serial run", name(its).c_str());
  }

  /// What was refused, held, cancelled, or stopped by a failed sync.
  void end_without_steps(request& its) {
    if (its.is_over) return;
    if (its.has_begun) found("request %s has finished in the middle of a step", name(its).c_str());
    std::vector<int> errors;
    if (its.is_cancelled || is_held(its) || may_be_held(its)) errors.push_back(ECANCELED);
    if (const int latched = latched_error(its); latched != 0) errors.push_back(latched);
    if (its.may_be_refused) errors.push_back(EAGAIN);
    if (errors.empty()) found("request %s has finished, and was not carried out", name(its).c_str());
    its.is_over = true;
    its.error = errors.front();
    its.is_error_known = errors.size() == 1;
    if (its.error == EAGAIN) failures_.push_back({.sequence = its.sequence, .error = EAGAIN});
  }

  /// Those of coroutines that have gone are delivered without a trace.
  void pass_abandoned(const request& before) {
    if (before.comes_back == lane::collected) return;
    for (request& one : all_)
      if (one.is_abandoned && one.sequence < before.sequence) {
        if (!one.has_returned && one.error != 0 && one.traits().may_lose)
          found("the failure of request %s, whose coroutine has gone, was lost", name(one).c_str());
        one.has_returned = true;
      }
  }

  void check_result(const asioq::asio_request& done, request& its) {
    if (done.op() != its.op || done.fd() != its.fd || done.offset() != its.offset || done.sequence() != its.sequence ||
        done.buffer().data() != its.buffer || (its.traits().transfers && done.length() != its.length))
      found("request %s came back with other values", name(its).c_str());
    const int error = done.error().value();
    if (!its.is_error_known && (error == ECANCELED || error == EAGAIN || lasts(error))) {
      its.error = error;
      if (error == EAGAIN) failures_.push_back({.sequence = its.sequence, .error = EAGAIN});
    }
    if (error != its.error || done.bytes_transferred() != its.done)
      found("request %s came back with error %d and %zu bytes instead of %d and %zu", name(its).c_str(), error,
            done.bytes_transferred(), its.error, its.done);
    std::string expected = its.content;
    if (its.op == asio_op::read) expected.replace(its.first, its.data.size(), its.data);
    const auto buffer = done.buffer();
    if (std::string_view(reinterpret_cast<const char*>(buffer.data()), buffer.size()) != expected)
      found("request %s came back with other data", name(its).c_str());
    if (its.traits().transfers && (done.data().data() != its.buffer + its.first || done.data().size() != its.done))
      found("request %s says that its data are elsewhere", name(its).c_str());
  }

 public:
  /// Which file each open descriptor means, when it does: not as in a serial run.
  void open(int fd, std::size_t file) { now_[fd] = file; }

 private:
  std::size_t number_;
  queue_plan plan_;
  engine on_;
  modelled_files* files_;
  std::deque<request> all_;
  std::uint64_t finished_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::vector<failure> failures_;      // that count under hold
  std::vector<failure> failed_syncs_;  // that last
  std::map<int, std::size_t> now_;
};

}  // namespace asioq_simulation
