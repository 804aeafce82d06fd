#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/detail/request/fifo.hpp>
#include <asioq/detail/request/record.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace asioq::detail {

/// The books of a queue: which of its requests are outstanding, finished or failed. Only the queue's owner uses them.
/// Nothing here blocks, allocates or fails. The cost is O(1) for each request.
///
/// What has finished leaves by one of two lanes: requests without a receiver are collected, the others are delivered.
class ledger {
 public:
  /// Enters a request, the youngest.
  void enter(request_record& record) noexcept {
    outstanding_.push_back(record);
    list_of(record).push_back(record);
    ++entered_;
    if (record.op == asio_op::write_back) ++outstanding_write_backs_;
    if (record.has_receiver) ++undelivered_;
  }

  /// Takes in that the first `finished` requests have finished. Calls `recycle` for each write-back that succeeded.
  template <class Recycle>
  void settle(std::uint64_t finished, Recycle recycle) noexcept {
    while (settled_ != finished) {
      request_record& record = outstanding_.pop_front();
      ++settled_;
      const bool failed = record.error != 0;
      if (failed) has_failed_ = true;
      list_of(record).pop_front();
      if (record.op == asio_op::write_back) --outstanding_write_backs_;
      if (record.has_receiver) {
        deliverable_.push_back(record);
        continue;
      }
      uncancel(record);
      if (record.op == asio_op::write_back) {
        if (!failed) {
          recycle(record);
          continue;
        }
        ++failed_write_backs_;
        failed_.push_back(record);
        if (unreported_ == nullptr) unreported_ = &record;
      }
      collectable_.push_back(record);
    }
  }

  /// The oldest finished request that needs collecting, which is the caller's from here on. Null if there is none.
  request_record* collect() noexcept {
    if (collectable_.empty()) return nullptr;
    request_record& record = collectable_.pop_front();
    if (record.op == asio_op::write_back) {
      --failed_write_backs_;
      failed_.pop_front();
      if (unreported_ == &record) unreported_ = failed_.front();
    }
    if (is_loss(record)) owner_was_told_ = true;
    return &record;
  }

  /// The oldest finished request that has a receiver, if it is among the first `end` requests. It is the receiver's
  /// from here on. Null if there is none.
  request_record* take_deliverable(std::uint64_t end) noexcept {
    if (deliverable_.empty() || deliverable_.front()->sequence >= end) return nullptr;
    request_record& record = deliverable_.pop_front();
    uncancel(record);  // its token may have been stopped until now
    --undelivered_;
    if (record.receiver != nullptr && is_loss(record)) owner_was_told_ = true;
    return &record;
  }

  /// The owner has dealt with the failures up to now, if there were any.
  void acknowledge() noexcept {
    if (!has_failed_) return;
    has_failed_ = false;
    owner_was_told_ = false;
    acknowledged_ = settled_;
  }

  /// The oldest failed write-back that needs collecting; there must be one.
  [[nodiscard]] const request_record& oldest_failed_write_back() const noexcept { return *failed_.front(); }

  /// The owner has been told of all failed write-backs.
  void mark_reported() noexcept {
    owner_was_told_ = true;
    for (; unreported_ != nullptr; unreported_ = unreported_->next_of_kind) unreported_->reported = true;
  }

  /// Whether the request's failure would be lost if it were not reported.
  [[nodiscard]] static bool is_loss(const request_record& record) noexcept {
    return record.error != 0 && record.traits().may_lose && !record.reported;
  }

  [[nodiscard]] bool has_outstanding() const noexcept { return !outstanding_.empty(); }
  [[nodiscard]] bool has_collectable() const noexcept { return !collectable_.empty(); }
  [[nodiscard]] bool has_deliverable() const noexcept { return !deliverable_.empty(); }
  /// Whether a request with a receiver is outstanding or deliverable.
  [[nodiscard]] bool has_undelivered() const noexcept { return undelivered_ != 0; }
  /// The oldest outstanding request; linked by `next_later` to the younger ones. Null if there is none.
  [[nodiscard]] request_record* oldest_outstanding() const noexcept { return outstanding_.front(); }
  /// Write-backs without a receiver that failed and have not been collected.
  [[nodiscard]] std::size_t failed_write_backs() const noexcept { return failed_write_backs_; }
  /// Whether a failure of the kind that loses data has been reported since the last `acknowledge`.
  [[nodiscard]] bool owner_was_told() const noexcept { return owner_was_told_; }
  /// Requests ever entered: the sequence number of the next one.
  [[nodiscard]] std::uint64_t entered() const noexcept { return entered_; }
  /// How many of these have been settled.
  [[nodiscard]] std::uint64_t settled() const noexcept { return settled_; }
  /// The owner has dealt with the failures of all requests below this sequence.
  [[nodiscard]] std::uint64_t acknowledged() const noexcept { return acknowledged_; }

  /// How many requests have to finish before one certainly needs collecting or delivering: the oldest that has a
  /// receiver or is no write-back must be among them. If all that is outstanding may recycle itself, `otherwise`.
  [[nodiscard]] std::uint64_t next_to_come_back(std::uint64_t otherwise) const noexcept {
    return std::min({otherwise, through(received_write_backs_), through(others_)});
  }
  /// How many requests have to finish for the oldest outstanding write-back to be among them. There must be one.
  [[nodiscard]] std::uint64_t oldest_write_back() const noexcept {
    return std::min(through(write_backs_), through(received_write_backs_));
  }

  /// Outstanding write-backs beyond the first `finished` requests.
  [[nodiscard]] std::size_t running_write_backs(std::uint64_t finished) const noexcept {
    std::size_t running = outstanding_write_backs_;
    for (const auto* list : {&write_backs_, &received_write_backs_}) {
      for (const request_record* record = list->front(); record != nullptr && record->sequence < finished;
           record = record->next_of_kind)
        --running;
    }
    return running;
  }
  /// Write-backs entered and not settled.
  [[nodiscard]] std::size_t outstanding_write_backs() const noexcept { return outstanding_write_backs_; }

 private:
  using list_of_kind = record_fifo<&request_record::next_of_kind>;

  list_of_kind& list_of(const request_record& record) noexcept {
    if (record.op != asio_op::write_back) return others_;
    return record.has_receiver ? received_write_backs_ : write_backs_;
  }

  /// The request leaves the books: the mark must not outlast this submission.
  static void uncancel(request_record& record) noexcept { record.is_cancelled.store(false, std::memory_order_relaxed); }

  /// How many requests have to finish for the first of the list to be among them.
  static std::uint64_t through(const list_of_kind& list) noexcept {
    return list.empty() ? std::numeric_limits<std::uint64_t>::max() : list.front()->sequence + 1;
  }

  record_fifo<&request_record::next_later> outstanding_;  // entered and not settled, oldest first
  list_of_kind write_backs_;                              // in outstanding_: write-backs without a receiver
  list_of_kind received_write_backs_;                     // in outstanding_: write-backs with one
  list_of_kind others_;                                   // in outstanding_: all else
  record_fifo<&request_record::next> collectable_;        // settled and not collected, oldest first
  list_of_kind failed_;                                   // in collectable_: the write-backs
  record_fifo<&request_record::next> deliverable_;        // settled and not delivered, oldest first
  request_record* unreported_ = nullptr;                  // the first in failed_ that has not been reported
  std::uint64_t entered_ = 0;
  std::uint64_t settled_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::size_t outstanding_write_backs_ = 0;
  std::size_t failed_write_backs_ = 0;  // in collectable_
  std::size_t undelivered_ = 0;         // with a receiver, outstanding or deliverable
  bool has_failed_ = false;             // something settled has failed since the last acknowledge()
  bool owner_was_told_ = false;
};

}  // namespace asioq::detail
