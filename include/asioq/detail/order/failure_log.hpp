#pragma once

#include <asioq/detail/order/file_identity.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/options.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace asioq::detail {

/// The failures of a queue that concern later requests: under `failure_policy::hold` every failure, and a failed sync
/// in any case. Every dispatcher asks whether the log `admits` a request, and has it `record` a failed one.
///
/// The kernel forgets a failed sync. Once it has reported the error it may drop the dirty pages and call the next fsync
/// of the same file a success (https://wiki.postgresql.org/wiki/Fsync_Errors). The log remembers the error, for each
/// file separately. A sync of a file that is not known, and one that failed, concern all files: rather one error too
/// many than a lost one.
///
/// Under hold, a request that had begun before an older one failed may fail, too. Its failure counts like any other,
/// since an owner that has dealt with the older one need not know of it yet.
///
/// An acknowledgement names what it covers. A request submitted after `resume()` carries the sequence number below
/// which the owner has dealt with all failures. A failure concerns the younger requests that do not acknowledge it, in
/// whatever order requests run. Not thread-safe; no system call.
class failure_log {
 public:
  /// May throw `std::bad_alloc`; later calls need no memory.
  explicit failure_log(failure_policy on_failure) : holds_(on_failure == failure_policy::hold) {
    syncs_.reserve(room);
    if (holds_) failures_.reserve(room);
  }

  /// Whether requests behind a failure must not have begun.
  [[nodiscard]] bool holds() const noexcept { return holds_; }

  /// Whether it admits every request.
  [[nodiscard]] bool empty() const noexcept { return failures_.empty() && syncs_.empty(); }

  /// Whether `admits` needs to know which file the request means.
  [[nodiscard]] bool needs_file(const request_record& record) const noexcept {
    return !syncs_.empty() && record.traits().is_sync;
  }

  /// 0 if the request may begin, else the error that it has to end with. `file` matters only if `needs_file` says so.
  [[nodiscard]] int admits(const request_record& record, const file_identity& file = {}) const noexcept {
    if (is_held(record)) return ECANCELED;
    if (!needs_file(record)) return 0;
    const auto failed = std::ranges::find_if(
        syncs_, [&](const failed_sync& its) { return may_be_same(its.file, file) && concerns(its, record); });
    return failed == syncs_.end() ? 0 : failed->error;
  }

  /// Whether `record` needs to know which file the failed request means.
  [[nodiscard]] static bool needs_file_of_failed(const request_record& record) noexcept {
    return record.traits().is_sync && may_have_lost_data(record.error);
  }

  /// The request has failed by itself, not because `admits` refused it. `file` matters only if `needs_file_of_failed`
  /// says so.
  void record(const request_record& record, const file_identity& file = {}) noexcept {
    record_untried(record);
    if (!needs_file_of_failed(record)) return;
    // Without memory for another entry, it becomes a part of the last one, which then counts for all files.
    if (!add(syncs_, {{record.sequence, record.sequence}, file, record.error})) syncs_.back().file = unknown_file;
  }

  /// The request has failed before its file had a part in it.
  void record_untried(const request_record& record) noexcept {
    if (holds_) add(failures_, {record.sequence, record.sequence});
  }

  /// The request and all before it have finished. What it acknowledges concerns no request from here on.
  void finished(const request_record& record) noexcept {
    if (record.acknowledged <= forgotten_) return;
    forgotten_ = record.acknowledged;
    const auto is_forgotten = [&](const auto& its) { return its.last < forgotten_; };
    std::erase_if(failures_, is_forgotten);
    std::erase_if(syncs_, is_forgotten);
  }

  /// False for the errors that say "not tried" or "cannot be synced".
  static bool may_have_lost_data(int error) noexcept {
    switch (error) {
      case 0:
      case EAGAIN:
      case EBADF:
      case ECANCELED:
      case EINTR:
      case EINVAL:
      case ENOMEM:
      case ENOSYS:
      case EOPNOTSUPP:
        return false;
      default:
        return true;
    }
  }

 private:
  /// Requests that failed: one, or several between these two.
  struct failure {
    std::uint64_t first = 0;  // sequence numbers
    std::uint64_t last = 0;
  };

  struct failed_sync : failure {
    file_identity file{};
    int error = 0;  // an errno value
  };

  static constexpr std::size_t room = 4;

  /// Adds an entry. Without memory for it, widens the last one and returns false.
  template <class T>
  static bool add(std::vector<T>& entries, const T& entry) noexcept {
    try {
      entries.push_back(entry);
      return true;
    } catch (...) {
      T& last = entries.back();  // there is one, since the constructor has reserved room for several
      last.first = std::min(last.first, entry.first);
      last.last = std::max(last.last, entry.last);
      return false;
    }
  }

  /// Whether a failure concerns another request.
  static bool concerns(const failure& its, const request_record& other) noexcept {
    return its.first < other.sequence && its.last >= other.acknowledged;
  }

  [[nodiscard]] bool is_held(const request_record& record) const noexcept {
    return std::ranges::any_of(failures_, [&](const failure& its) { return concerns(its, record); });
  }

  bool holds_;                      // constant
  std::vector<failure> failures_;   // under hold
  std::vector<failed_sync> syncs_;  // failed syncs that may have lost data
  std::uint64_t forgotten_ = 0;     // failures below this are not remembered
};

}  // namespace asioq::detail
