#pragma once

#include <algorithm>

namespace asioq::detail {

/// Looks a while for what is about to come: sleeping and being woken costs far more than a short transfer. Gives up
/// sooner where that has been in vain (slow devices, one core), later where it has not. For one thread.
class adaptive_spin {
 public:
  /// Calls until it returns true, or it is time to sleep: false then.
  template <class Condition>
  bool until(Condition condition) noexcept {
    for (unsigned i = 0; i < limit_; ++i) {
      if (condition()) {
        limit_ = std::min(limit_ * 2, most);
        return true;
      }
      pause();
    }
    limit_ = std::max(limit_ / 2, least);
    return false;
  }

 private:
  static constexpr unsigned least = 50;  // about 2 µs
  static constexpr unsigned most = 500;

  static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  unsigned limit_ = least;
};

}  // namespace asioq::detail
