#pragma once

#include <asioq/detail/support/sync.hpp>

#include <chrono>
#include <cstdint>
#include <limits>

namespace asioq::detail {

/// Where a queue's owner sleeps, and how a dispatcher wakes it. An owner sleeps nowhere else.
///
/// The owner arms it with the count that `finished` has to reach, then looks again whether it still has to sleep, then
/// sleeps or disarms. A party that finishes requests publishes the new count, then tells. All four accesses (arm, look;
/// publish, tell) are sequentially consistent, so the owner sees the count or the other party sees the target. A
/// read-modify-write takes the target out of the word, once. The party that takes it releases the token or, if it is
/// the owner, needs none, so no token is lost or left over.
class wake {
 public:
  /// Owner: from here on, a party tells when `finished` reaches `target` or a request fails.
  void arm(std::uint64_t target) noexcept { target_.store(target); }

  /// Owner: will not sleep after all.
  void disarm() noexcept {
    // If another party took the target first, its token is here or about to come.
    if (target_.exchange(nothing) == nothing) tokens_.acquire();
  }

  /// Owner: sleeps until another party tells.
  void sleep() noexcept { tokens_.acquire(); }

  /// As `sleep`, but disarms and returns at the deadline.
  void sleep_until(std::chrono::steady_clock::time_point deadline) {
    if (!tokens_.try_acquire_until(deadline)) disarm();
  }

  /// Whether the owner sleeps or is about to.
  [[nodiscard]] bool is_armed() const noexcept { return target_.load() != nothing; }

  /// Another party that has published `finished`: wakes the owner if that reaches its target, or if a request has
  /// `failed`.
  void tell(std::uint64_t finished, bool failed) noexcept {
    std::uint64_t target = target_.load();
    while (target != nothing && (failed || finished >= target)) {
      if (!target_.compare_exchange_weak(target, nothing)) continue;
      tokens_.release();
      return;
    }
  }

  /// Another party: wakes the owner, if it sleeps, since no other thread may carry out its requests.
  void tell_anyway() noexcept { tell(0, true); }

 private:
  static constexpr std::uint64_t nothing = std::numeric_limits<std::uint64_t>::max();

  /// The count that the owner sleeps for; `nothing` if it does not sleep. The owner sets it. The owner or the party
  /// that tells resets it.
  alignas(64) atomic<std::uint64_t> target_ = nothing;
  /// 1 from the moment another party has taken the target out of `target_` until the owner takes the token. Only the
  /// owner acquires, since libstdc++ 12 can lose a wake-up with two acquirers (GCC PR 104928).
  counting_semaphore tokens_{0};
};

}  // namespace asioq::detail
