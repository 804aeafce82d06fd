#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/detail/request/fifo.hpp>
#include <asioq/detail/request/record.hpp>

#include <cstddef>
#include <cstdint>

namespace asioq::detail {

/// The books of a queue: which of its requests are outstanding, finished or failed. Only the queue's owner uses them.
/// Nothing here blocks, allocates or fails. The cost is O(1) for each request.
class ledger {
 public:
  /// Enters a request, the youngest.
  void enter(request_record& record) noexcept {
    outstanding_.push_back(record);
    (record.op == asio_op::write_back ? write_backs_ : others_).push_back(record);
    ++entered_;
    if (record.op == asio_op::write_back) ++outstanding_write_backs_;
  }

  /// Takes in that the first `finished` requests have finished. Calls `recycle` for each write-back that succeeded.
  template <class Recycle>
  void settle(std::uint64_t finished, Recycle recycle) noexcept {
    while (settled_ != finished) {
      request_record& record = outstanding_.pop_front();
      ++settled_;
      const bool failed = record.error != 0;
      if (failed) has_failed_ = true;
      if (record.op == asio_op::write_back) {
        write_backs_.pop_front();
        --outstanding_write_backs_;
        if (!failed) {
          recycle(record);
          continue;
        }
        ++failed_write_backs_;
        failed_.push_back(record);
        if (unreported_ == nullptr) unreported_ = &record;
      } else {
        others_.pop_front();
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
  /// Write-backs that failed and have not been collected.
  [[nodiscard]] std::size_t failed_write_backs() const noexcept { return failed_write_backs_; }
  /// Whether a failure of the kind that loses data has been reported since the last `acknowledge`.
  [[nodiscard]] bool owner_was_told() const noexcept { return owner_was_told_; }
  /// Requests ever entered: the sequence number of the next one.
  [[nodiscard]] std::uint64_t entered() const noexcept { return entered_; }
  /// How many of these have been settled.
  [[nodiscard]] std::uint64_t settled() const noexcept { return settled_; }
  /// The owner has dealt with the failures of all requests below this sequence.
  [[nodiscard]] std::uint64_t acknowledged() const noexcept { return acknowledged_; }

  /// How many requests have to finish before one certainly needs collecting: the oldest that is no write-back must be
  /// among them. If only write-backs are outstanding, all of them. Something must be outstanding.
  [[nodiscard]] std::uint64_t next_to_collect() const noexcept {
    return others_.empty() ? entered_ : others_.front()->sequence + 1;
  }
  /// How many requests have to finish for the oldest outstanding write-back to be among them. There must be one.
  [[nodiscard]] std::uint64_t oldest_write_back() const noexcept { return write_backs_.front()->sequence + 1; }

  /// Outstanding write-backs beyond the first `finished` requests.
  [[nodiscard]] std::size_t running_write_backs(std::uint64_t finished) const noexcept {
    std::size_t running = outstanding_write_backs_;
    for (const request_record* record = write_backs_.front(); running != 0 && record->sequence < finished;
         record = record->next_of_kind)
      --running;
    return running;
  }
  /// Write-backs entered and not settled.
  [[nodiscard]] std::size_t outstanding_write_backs() const noexcept { return outstanding_write_backs_; }

 private:
  record_fifo<&request_record::next_later> outstanding_;    // entered and not settled, oldest first
  record_fifo<&request_record::next_of_kind> write_backs_;  // of these, the write-backs
  record_fifo<&request_record::next_of_kind> others_;       // of these, the others
  record_fifo<&request_record::next> collectable_;          // settled and not collected, oldest first
  record_fifo<&request_record::next_of_kind> failed_;       // of these, the write-backs
  request_record* unreported_ = nullptr;                    // the first of these that has not been reported
  std::uint64_t entered_ = 0;
  std::uint64_t settled_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::size_t outstanding_write_backs_ = 0;
  std::size_t failed_write_backs_ = 0;  // in collectable_
  bool has_failed_ = false;             // something settled has failed since the last acknowledge()
  bool owner_was_told_ = false;
};

}  // namespace asioq::detail
