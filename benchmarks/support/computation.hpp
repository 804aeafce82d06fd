// What a program does while the device works.
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace bench {

/// Computes. The work is fixed, not the time: it takes longer where others want the processor, too.
class computation {
 public:
  /// As much work as takes so long on a processor of its own.
  explicit computation(std::chrono::nanoseconds length)
      : steps_(static_cast<std::uint64_t>(length.count()) * steps_per_us() / 1000) {}

  void run() const { work(steps_); }

 private:
  static void work(std::uint64_t steps) {
    static thread_local volatile std::uint64_t result;
    std::uint64_t value = result | 1U;
    for (std::uint64_t i = 0; i < steps; ++i) value = value * 6364136223846793005U + 1442695040888963407U;
    result = value;
  }

  static std::chrono::nanoseconds processor_time() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  }

  /// Found out once, in the quickest of several attempts, so that all rows compute the same.
  static std::uint64_t steps_per_us() {
    static const std::uint64_t found = [] {
      constexpr std::uint64_t steps = 1'000'000;
      auto shortest = std::chrono::nanoseconds::max();
      for (int attempt = 0; attempt < 20; ++attempt) {
        const std::chrono::nanoseconds start = processor_time();
        work(steps);
        shortest = std::min(shortest, processor_time() - start);
      }
      return std::max<std::uint64_t>(1, steps * 1000 / static_cast<std::uint64_t>(shortest.count()));
    }();
    return found;
  }

  std::uint64_t steps_;
};

}  // namespace bench
