#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/detail/order/failure_log.hpp>
#include <asioq/detail/order/file_identity.hpp>
#include <asioq/detail/order/file_table.hpp>
#include <asioq/detail/order/hazards.hpp>
#include <asioq/detail/order/ready_queue.hpp>
#include <asioq/detail/order/waiting_list.hpp>
#include <asioq/detail/request/fifo.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/transfer/merging.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/options.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace asioq::detail {

/// Decides which requests of a queue may run at the same time, so that every result is as if they had run one by one.
/// Counts them as finished in the order of their submission. It uses no thread, no lock and no system call.
///
/// AS IF SERIAL, AND WHY IT HOLDS
///
/// A request is unclassified, blocked, ready, in flight or done. `start` is the one place that decides what may begin.
///
/// 1. Conflicts. Two requests conflict if one could observe whether the other has run (see hazards). A request is
///    classified after all older ones, against all older unfinished ones, and becomes ready only when it conflicts with
///    none of them. It never blocks an older one. So of two requests that conflict, the older has finished when the
///    younger begins, whatever the others do, and two requests in flight together cannot observe each other. Exchanging
///    neighbours that cannot observe each other changes no result, so every run equals the serial one.
/// 2. Facts. What a request conflicts with depends on what its descriptor means. The schedule asks a party that holds
///    no lock (`question`), and that party brings the answer (`learn`). Until then the request is unclassified, and so
///    is everything younger. The oldest unfinished request needs no facts, since it conflicts with nothing. It may
///    begin while it is *alone*, that is while no other is classified. The facts stay true as long as unfinished
///    requests name the descriptor, which must stay open that long. After a close that is in the order the number may
///    mean another file, so what names it is classified only when the close has finished, by facts of then. A request
///    whose facts the kernel does not tell runs alone, and so does all that names the descriptor meanwhile. Sizes are
///    lower bounds: older writes only raise them, and a truncate lowers them when it is classified, or for all files
///    when it ends alone. What is learnt while a truncate is unfinished counts as 0.
/// 3. Progress. The oldest unfinished request is never blocked and never stays unclassified, so it is ready, in flight
///    or done. Each request that ends frees a place in flight, and `next` takes the oldest that is ready. So every
///    request ends, and a question delays only what names the descriptor that it is about.
/// 4. Failures and cancelled requests. A cancelled request that has not begun ends when it would start, and has no
///    effect, as if it had not been submitted. A failure concerns younger requests only (see failure_log). A sync
///    waits for all older syncs of its file, so it inherits exactly the errors that it would inherit in a serial run.
///    Under `failure_policy::hold`, what began before the failure goes on, and nothing younger begins.
/// 5. Completion. The schedule counts a request as finished when it and all older ones are done.
class schedule {
  using state = ordering_part::state;

 public:
  /// The facts of which descriptor a party without a lock has to find out.
  struct question {
    int fd;
    std::uint64_t entry;
    bool may_be_cut;  // a request to truncate was unfinished
  };

  /// `max_in_flight` of 1 is strict order, which needs no facts. May throw `std::bad_alloc`.
  schedule(std::size_t max_in_flight, failure_policy on_failure)
      : max_in_flight_(max_in_flight), failures_(on_failure) {}

  /// Adds a request, the youngest. May throw `std::bad_alloc`; then it has not been added.
  void add(request_record& record) {
    if (unfinished_.empty() || max_in_flight_ == 1) {
      make_ready_in_order(record);
      if (max_in_flight_ != 1) {
        alone_ = &record;
        alone_has_entry_ = false;
      }
    } else {
      if (alone_ != nullptr && !alone_has_entry_) {
        files_.use(alone_->fd);
        alone_has_entry_ = true;
      }
      files_.use(record.fd);
      record.progress = state::unclassified;
    }
    if (!unfinished_.empty()) before_youngest_ = &unfinished_.back();
    unfinished_.push_back(record);
    if (record.op == asio_op::truncate) ++unfinished_truncates_;
    if (record.progress != state::unclassified) return;
    if (first_unclassified_ == nullptr) first_unclassified_ = &record;
    classify();
  }

  /// Takes back the request that was added last. Returns false if it has begun, and then changes nothing.
  bool withdraw(request_record& record) noexcept {
    switch (record.progress) {
      case state::unclassified:
        if (first_unclassified_ == &record) first_unclassified_ = nullptr;
        files_.release(record.fd);
        break;
      case state::blocked:
        leave_list(record);
        forget(record);
        break;
      case state::ready:
        if (!ready_.withdraw(record)) return false;
        forget(record);
        break;
      default:
        return false;
    }
    if (record.op == asio_op::truncate) --unfinished_truncates_;
    record.progress = state::outside;
    unfinished_.pop_back(record, before_youngest_);
    return true;
  }

  /// Whether facts are needed before the next request can be classified, and no party has been asked for them yet.
  [[nodiscard]] bool has_question() noexcept {
    return first_unclassified_ != nullptr && !is_asked_ && !waits_for_older();
  }

  /// The question, which counts as asked from here on. There must be one.
  question ask() noexcept {
    const open_file& file = files_.at((alone_ != nullptr ? alone_ : first_unclassified_)->fd);
    is_asked_ = true;
    asked_fd_ = file.fd;
    return {file.fd, file.entry, unfinished_truncates_ != 0};
  }

  /// Takes in the answer to a question.
  void learn(const question& asked, file_facts facts) noexcept {
    is_asked_ = false;
    open_file* const file = files_.find_entry(asked.fd, asked.entry);
    // If the file has become known meanwhile, a truncate may have run since it was asked about.
    if (file != nullptr && !file->is_known) {
      // A truncate that was added later has not run: what it would have to wait for names the descriptor.
      if (asked.may_be_cut) facts.size = 0;
      if (is_unknown(facts.identity))
        file->is_unanswered = true;
      else
        files_.learn(*file, facts);
    }
    classify();
    count_finished();
  }

  /// The oldest request that may start, which is in flight from here on. Null if none may start now.
  request_record* next() noexcept {
    while (in_flight_ < max_in_flight_ && ready_.size() > 0)
      if (request_record* const record = next_front()) return record;
    return nullptr;
  }

  /// The oldest request that is ready, which is in flight from here on. Null if it has ended at once because of an
  /// earlier failure or its cancellation. There must be one that may start.
  request_record* next_front() noexcept {
    request_record& record = ready_.pop();
    return start(record) ? &record : nullptr;
  }

  /// Ends the requests that are ready and cancelled, up to the first that is not.
  void end_cancelled() noexcept {
    while (ready_.size() > 0 && ready_.front().must_not_begin()) next_front();
  }

  /// Whether there is a request that may start, the oldest such, for which `wanted` is true.
  template <class Wanted>
  [[nodiscard]] bool has_next_that(Wanted wanted) const noexcept {
    return in_flight_ < max_in_flight_ && ready_.size() > 0 && wanted(ready_.front());
  }

  /// The oldest unfinished request, which is in flight from here on. Null if it has started, may not start now, or has
  /// ended at once as in `next_front`. Nothing finishes before it.
  request_record* next_to_finish() noexcept {
    if (in_flight_ == max_in_flight_ || !has_next_to_finish()) return nullptr;
    return next_front();  // the oldest of all, so it is the oldest that is ready
  }

  [[nodiscard]] bool has_next_to_finish() const noexcept {
    return !unfinished_.empty() && unfinished_.front()->progress == state::ready;
  }

  /// What is known of the file of a request in flight. Null while the request is alone, and in strict order.
  [[nodiscard]] const open_file* file_of(const request_record& record) noexcept {
    return &record == alone_ || max_in_flight_ == 1 ? nullptr : &files_.at(record.fd);
  }

  /// Takes in whether requests of the descriptor of `record`, which is classified, may be merged.
  void learn(const request_record& record, const merging& merges) noexcept {
    open_file& file = files_.at(record.fd);
    file.merges = merges;
    file.merging_is_known = true;
  }

  /// See failure_log. `admits` needs the file of some requests, and `complete` that of some failed ones.
  [[nodiscard]] const failure_log& failures() const noexcept { return failures_; }

  /// The request, in flight, could not be begun after all. It is ready again and, if it is the youngest, can be
  /// withdrawn.
  void put_back(request_record& record) noexcept {
    --in_flight_;
    record.progress = state::ready;
    if (&record == &unfinished_.back())
      ready_.push_youngest(record);
    else
      ready_.push(record);
  }

  /// The request has been carried out and its results are set. If it has an error, the failure is its own.
  void complete(request_record& record, const file_identity& file = {}) noexcept {
    if (record.error != 0) failures_.record(record, file);
    end_in_flight(record);
  }

  /// The request, in flight, ends with an error that an earlier failure or its cancellation imposes.
  void cancel(request_record& record, int error) noexcept {
    record.error = error;
    end_in_flight(record);
  }

  /// The request, in flight, could not be carried out to its end, for a reason that is not in its file.
  void refuse(request_record& record, int error) noexcept {
    record.error = error;
    failures_.record_untried(record);
    end_in_flight(record);
  }

  /// How many requests have finished, counted from the oldest.
  [[nodiscard]] std::uint64_t finished() const noexcept { return finished_; }
  /// How many of these have failed.
  [[nodiscard]] std::uint64_t failed() const noexcept { return failed_; }
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_; }
  [[nodiscard]] static bool is_in_flight(const request_record& record) noexcept {
    return record.progress == state::in_flight;
  }
  /// How many requests `next()` could return now.
  [[nodiscard]] std::size_t startable() const noexcept { return std::min(ready_.size(), max_in_flight_ - in_flight_); }

 private:
  void make_ready_in_order(request_record& record) noexcept {
    record.progress = state::ready;
    ready_.push_youngest(record);
  }

  /// Classifies requests, the oldest first, up to the first whose facts are not known.
  void classify() noexcept {
    if (first_unclassified_ == nullptr) return;
    if (alone_ != nullptr) {
      if (alone_->traits().ends_number || !is_known(*alone_)) return;
      // Nothing is in its way: it is the oldest, and no other is classified.
      hazards_.add(*alone_, files_.at(alone_->fd), files_);
      alone_ = nullptr;
    }
    while (first_unclassified_ != nullptr && is_known(*first_unclassified_)) {
      request_record& record = *first_unclassified_;
      first_unclassified_ = record.next;
      if (hazards_.add(record, files_.at(record.fd), files_))
        make_ready_in_order(record);
      else
        record.progress = state::blocked;
    }
  }

  [[nodiscard]] bool is_known(const request_record& record) noexcept {
    const open_file& file = files_.at(record.fd);
    return file.is_known && !file.closes;
  }

  /// Whether the next request can be classified only when an older one has finished: a close, since the kernel knows
  /// only then what the number means; or all, since it does not tell.
  [[nodiscard]] bool waits_for_older() noexcept {
    if (alone_ != nullptr) return alone_->traits().ends_number || files_.at(alone_->fd).is_unanswered;
    const open_file& file = files_.at(first_unclassified_->fd);
    return file.closes || file.is_unanswered;
  }

  /// Starts a request that was ready. Returns whether it has to be carried out. If not, it has ended at once.
  bool start(request_record& record) noexcept {
    ++in_flight_;
    record.progress = state::in_flight;
    if (record.must_not_begin()) {
      cancel(record, ECANCELED);
      return false;
    }
    if (failures_.needs_file(record)) return true;  // the party that carries it out finds the file, then asks
    record.error = failures_.admits(record);
    if (record.error != 0) end_in_flight(record);
    return record.error == 0;
  }

  void end_in_flight(request_record& record) noexcept {
    --in_flight_;
    record.progress = state::done;
    if (record.op == asio_op::truncate) --unfinished_truncates_;
    if (max_in_flight_ != 1) end_order_of(record);
    count_finished();
  }

  /// Counts the oldest requests as finished, as far as they are done. The owner may close a descriptor then, so none
  /// finishes while a party asks for the facts of its descriptor.
  void count_finished() noexcept {
    while (!unfinished_.empty() && unfinished_.front()->progress == state::done &&
           !(is_asked_ && unfinished_.front()->fd == asked_fd_)) {
      request_record& oldest = unfinished_.pop_front();
      oldest.progress = state::outside;
      failures_.finished(oldest);
      ++finished_;
      if (oldest.error != 0) ++failed_;
    }
    // If no unfinished request is classified, the oldest is alone. A close waits for the answer about its descriptor:
    // the number must not go while a party asks about it.
    if (first_unclassified_ == nullptr || first_unclassified_ != unfinished_.front()) return;
    if (is_asked_ && first_unclassified_->traits().ends_number && first_unclassified_->fd == asked_fd_) return;
    alone_ = first_unclassified_;
    alone_has_entry_ = true;
    first_unclassified_ = alone_->next;
    make_ready_in_order(*alone_);
  }

  void end_order_of(request_record& record) noexcept {
    if (&record != alone_) {
      open_file& file = files_.at(record.fd);
      if (record.traits().writes && record.transferred > 0 && !record.at_position())
        files_.grow(file, record.sequence, record.offset + record.transferred);
      hazards_.remove(record, [this](request_record& other) {
        other.progress = state::ready;
        ready_.push(other);
      });
    } else if (record.op == asio_op::truncate) {
      files_.cut_any(record.sequence, record.offset);  // it was never classified
    }
    leave_file(record);
    if (record.traits().ends_number) files_.forget(record.fd);
  }

  /// Removes a request that has not run.
  void forget(request_record& record) noexcept {
    if (max_in_flight_ == 1) return;
    if (&record != alone_ && record.traits().ends_number) files_.at(record.fd).closes = false;
    if (&record != alone_) hazards_.forget(record);
    leave_file(record);
  }

  void leave_file(request_record& record) noexcept {
    if (&record != alone_ || alone_has_entry_) files_.release(record.fd);
    if (&record != alone_) return;
    alone_ = nullptr;
    alone_has_entry_ = false;
  }

  std::size_t max_in_flight_;  // constant
  failure_log failures_;
  file_table files_;  // the files of all unfinished requests, except of one that is alone and has no entry
  hazards hazards_;   // requests that are blocked, ready or in flight, except one that is alone
  record_fifo<&request_record::next> unfinished_;  // all, oldest first
  request_record* before_youngest_ = nullptr;      // added before the last one, and perhaps finished since
  request_record* first_unclassified_ = nullptr;   // it and all younger ones are unclassified
  request_record* alone_ = nullptr;                // the oldest, if it may begin while nothing is classified
  bool alone_has_entry_ = false;                   // in files_
  bool is_asked_ = false;                          // a question has been asked and not been answered
  int asked_fd_ = -1;                              // if is_asked_: about this descriptor
  ready_queue ready_;
  std::size_t in_flight_ = 0;
  std::size_t unfinished_truncates_ = 0;  // requests to truncate
  std::uint64_t finished_ = 0;
  std::uint64_t failed_ = 0;
};

}  // namespace asioq::detail
