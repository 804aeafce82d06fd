#pragma once

#include <asioq/detail/batch.hpp>
#include <asioq/detail/fsync_latch.hpp>
#include <asioq/detail/request_block.hpp>
#include <asioq/options.hpp>

#include <cerrno>

namespace asioq::detail {

/// Carries out requests, one after another, by the rules that look back at earlier ones: a hold after a failure, and
/// errors of fsync that last. Used by one thread at a time.
class execution {
 public:
  explicit execution(failure_policy on_failure) noexcept : on_failure_(on_failure) {}

  /// Whether requests may be merged (as concurrent_order::next_if does). Not under `failure_policy::hold`: nothing
  /// behind a failure must have been begun.
  [[nodiscard]] bool merges() const noexcept { return on_failure_ == failure_policy::proceed; }

  /// Carries out the batch, or decides that it must not be; sets the results.
  void run(batch& its) noexcept {
    // Alone in its batch wherever its failure matters to others: syncs are not merged, and under hold nothing is.
    request_block& block = *its.requests().front();
    if (block.ends_hold) {
      holding_ = false;
      latch_.clear();
    }
    if (holding_) {
      block.error = ECANCELED;
    } else if (!block.is_sync() || !latch_.applies(block)) {
      its.perform();
      if (block.is_sync() && block.error != 0) latch_.set(block);
    }
    if (block.error != 0 && on_failure_ == failure_policy::hold) holding_ = true;
  }

 private:
  failure_policy on_failure_;  // constant
  bool holding_ = false;       // something has failed and no request since ends the hold
  fsync_latch latch_;
};

}  // namespace asioq::detail
