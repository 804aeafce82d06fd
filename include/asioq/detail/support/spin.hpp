#pragma once

#include <algorithm>

namespace asioq::detail {

/// Spins for a moment before a thread sleeps, since sleeping and being woken costs far more than a short transfer.
/// Spins longer after a success and shorter after a failure. Where it always fails (slow devices, one core, too many
/// threads) it seldom spins at all. For one thread at a time.
class adaptive_spin {
 public:
  /// Calls `condition` until that returns true, or it is time to sleep. Returns what the last call returned.
  template <class Condition>
  bool until(Condition condition) noexcept {
    if (skipped_ < to_skip_) {
      ++skipped_;
      return condition();
    }
    skipped_ = 0;
    for (unsigned i = 0; i < limit_; i += pauses_per_look) {
      if (condition()) {
        limit_ = std::min(limit_ * 2, most);
        to_skip_ = 0;
        return true;
      }
      for (unsigned pauses = 0; pauses < pauses_per_look; ++pauses) pause();
    }
    if (limit_ == least) to_skip_ = std::min(to_skip_ * 2 + 1, most_skipped);
    limit_ = std::max(limit_ / 2, least);
    return false;
  }

  /// Tells the processor that this is a loop which waits.
  static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

 private:
  // In pauses, of 15 to 40 ns each.
  static constexpr unsigned pauses_per_look = 16;  // each look takes the cache line from the thread that writes it
  static constexpr unsigned least = 48;
  static constexpr unsigned most = 512;
  static constexpr unsigned most_skipped = 63;

  unsigned limit_ = least;
  unsigned to_skip_ = 0;  // calls that do not spin before the next that does
  unsigned skipped_ = 0;  // how many of these there have been
};

}  // namespace asioq::detail
