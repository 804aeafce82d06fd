#pragma once

#include <asioq/detail/support/sync.hpp>

#include <chrono>
#include <cstdint>
#include <limits>

namespace asioq::detail {

/// How a dispatcher tells the queue's owner that what it sleeps for has come: the one place where an owner sleeps.
///
/// The owner arms it with what `finished` has to reach, then looks again whether it should sleep at all, then sleeps or
/// disarms. A party that finishes requests publishes the new count, then tells. All four accesses (arm, look; publish,
/// tell) are sequentially consistent, so the owner sees the count or the other party sees the target. The target leaves
/// the word by a read-modify-write, once: whoever takes it out of the word owns the token, so none is lost or left
/// over.
class wake {
 public:
  /// Owner: from here on the party that reaches `target`, or meets a failure, tells.
  void arm(std::uint64_t target) noexcept { target_.store(target); }

  /// Owner: does not sleep after all.
  void disarm() noexcept {
    // The other party took the target first: its token is here or about to come.
    if (target_.exchange(nothing) == nothing) tokens_.acquire();
  }

  /// Owner: until somebody tells.
  void sleep() noexcept { tokens_.acquire(); }

  /// The same, but gives up and disarms at the deadline.
  void sleep_until(std::chrono::steady_clock::time_point deadline) {
    if (!tokens_.try_acquire_until(deadline)) disarm();
  }

  /// Whether the owner sleeps or is about to.
  [[nodiscard]] bool is_armed() const noexcept { return target_.load() != nothing; }

  /// Any other party, having published that `finished` requests have finished, and whether one of them has failed.
  void tell(std::uint64_t finished, bool failed) noexcept {
    std::uint64_t target = target_.load();
    while (target != nothing && (failed || finished >= target)) {
      if (!target_.compare_exchange_weak(target, nothing)) continue;
      tokens_.release();
      return;
    }
  }

  /// Any other party: the owner has to look after its requests itself.
  void tell_anyway() noexcept { tell(0, true); }

 private:
  static constexpr std::uint64_t nothing = std::numeric_limits<std::uint64_t>::max();

  /// What the owner sleeps for; `nothing` if it does not. Set by the owner; reset by the owner or the party that tells.
  alignas(64) atomic<std::uint64_t> target_ = nothing;
  /// 1 from when another party has taken the target out of `target_` until the owner has taken the token. The owner
  /// alone acquires: in libstdc++ 12 a wake-up can be lost with two acquirers (GCC PR 104928).
  counting_semaphore tokens_{0};
};

}  // namespace asioq::detail
