#pragma once

#include <asioq/detail/support/event.hpp>
#include <asioq/detail/support/sync.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

namespace asioq::detail {

/// How a dispatcher wakes its queue's owner, which sleeps on a semaphore or, in an event loop, on a descriptor. An
/// owner sleeps nowhere else.
///
/// The owner arms it with the count that `finished` has to reach, then looks again whether it still has to sleep, then
/// sleeps or disarms. A party that finishes requests publishes the new count, then tells. All four accesses (arm, look;
/// publish, tell) are sequentially consistent, so the owner sees the count or the other party sees the target. A
/// read-modify-write takes the target out of the word, once. The party that takes it releases the token or, if it is
/// the owner, needs none, so no token is lost or left over.
///
/// The descriptor works in the same way. The owner arms it for the descriptor each time it leaves its queue and has
/// found nothing there. The party that takes the target makes the descriptor readable. So the descriptor is written to
/// at most once until the owner has found nothing again. The owner takes an armed target back before it sleeps on the
/// semaphore.
class wake {
 public:
  /// A target that no count reaches: only a failure tells.
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max() >> 2;

  /// Owner: from here on, a party tells when `finished` reaches `target` or a request fails.
  void arm(std::uint64_t target) noexcept {
    unwatch();
    target_.store(target);
  }

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

  /// Owner: the descriptor, which is made now if there is none. Throws `std::system_error`.
  int descriptor() {
    if (!event_) event_.emplace();
    return event_->descriptor();
  }

  // NOLINTBEGIN(bugprone-unchecked-optional-access): see event_

  /// Owner: makes the descriptor readable, or leaves it so.
  void set_readable() noexcept {
    unwatch();
    if (signals_to_drain_ != 0) return;
    event_->signal();
    signals_to_drain_ = 1;
  }

  /// Owner, having found nothing: the descriptor is not readable from here on, until `finished` reaches `target` or a
  /// request fails. The owner then has to look again.
  void watch(std::uint64_t target) noexcept {
    unwatch();
    // What another party is about to write stays for the next time, and makes the descriptor readable until then.
    if (signals_to_drain_ != 0) signals_to_drain_ -= event_->drain();
    target_.store(target | by_descriptor);
    is_watching_ = true;
  }

  /// Whether the owner sleeps on the semaphore or is about to.
  [[nodiscard]] bool has_sleeper() const noexcept { return target_.load() < by_descriptor; }

  /// Whether a party has to tell.
  [[nodiscard]] bool is_armed() const noexcept { return target_.load() != nothing; }

  /// Another party that has published `finished`: wakes the owner if that reaches its target, or if a request has
  /// `failed`.
  void tell(std::uint64_t finished, bool failed) noexcept {
    wake_if([&](std::uint64_t target) { return failed || finished >= (target & ~by_descriptor); });
  }

  /// Another party: wakes an owner that sleeps on the semaphore, since perhaps no other thread will carry out its
  /// requests. An owner in an event loop would not carry them out.
  void tell_anyway() noexcept {
    wake_if([](std::uint64_t target) { return target < by_descriptor; });
  }

 private:
  static constexpr std::uint64_t nothing = std::numeric_limits<std::uint64_t>::max();
  static constexpr std::uint64_t by_descriptor = never + 1;  // a flag; with `never` it is not `nothing`

  /// Another party: takes the target if it is due, and wakes the owner.
  template <class Due>
  void wake_if(Due is_due) noexcept {
    std::uint64_t target = target_.load();
    while (target != nothing && is_due(target)) {
      if (!target_.compare_exchange_weak(target, nothing)) continue;
      if (target < by_descriptor)
        tokens_.release();
      else
        event_->signal();
      return;
    }
  }

  // NOLINTEND(bugprone-unchecked-optional-access)

  /// Owner: no party makes the descriptor readable from here on, except one that is about to.
  void unwatch() noexcept {
    if (!is_watching_) return;
    is_watching_ = false;
    if (target_.exchange(nothing) == nothing) ++signals_to_drain_;
  }

  /// The count that the owner sleeps for, with the flag if on the descriptor; `nothing` if it does not sleep. The owner
  /// sets it. The owner or the party that tells resets it.
  alignas(64) atomic<std::uint64_t> target_ = nothing;
  /// 1 from the moment another party has taken the target out of `target_` until the owner takes the token. Only the
  /// owner acquires, since libstdc++ 12 can lose a wake-up with two acquirers (GCC PR 104928).
  counting_semaphore tokens_{0};
  std::optional<event> event_;  // the owner makes it, before it sets a target with the flag
  bool is_watching_ = false;    // owner only: has set a target with the flag and not taken it back
  /// Owner only: signals that have not been drained, including those that other parties are about to send. There may be
  /// several, since a party can be slow between taking the target and signalling.
  std::uint64_t signals_to_drain_ = 0;
};

}  // namespace asioq::detail
