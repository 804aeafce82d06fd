#pragma once

/// @file
/// How long the operations of a simulated disk take, in virtual time.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace asioq::testing {

/// How long the operations of a `simulated_disk` take, in its own time. The defaults are those of an SSD. An operation
/// takes 1 ns at least.
struct latency_model {
  /// Each operation.
  std::chrono::nanoseconds fixed = std::chrono::microseconds{80};
  /// For each KiB that is read or written.
  std::chrono::nanoseconds per_kibibyte{400};
  /// For each MiB between the end of the operation that was begun before and the start of this one.
  std::chrono::nanoseconds seek_per_mebibyte{0};
  /// The most that a seek takes; a seek to another file takes that.
  std::chrono::nanoseconds longest_seek{0};
  /// For a sync, besides.
  std::chrono::nanoseconds sync = std::chrono::microseconds{500};
  /// Up to so much more, by the seed.
  std::chrono::nanoseconds jitter = std::chrono::microseconds{40};
  /// How many operations the device serves at a time; the others wait. 0 counts as 1.
  std::size_t depth = 32;
  /// What a call that does not block takes, so that a loop of `try_wait` comes to an end. At least 1 ns.
  std::chrono::nanoseconds poll = std::chrono::microseconds{1};

  /// The time for an operation that moves so many bytes, of which the seek goes over `distance`. `chance` is what to
  /// take of the jitter.
  [[nodiscard]] std::chrono::nanoseconds time_for(std::uint64_t bytes, std::uint64_t distance, bool is_sync,
                                                  std::uint64_t chance) const noexcept {
    using std::chrono::nanoseconds;
    const auto kibibytes = static_cast<nanoseconds::rep>(bytes / 1024 + (bytes % 1024 == 0 ? 0 : 1));
    // Few enough for no product to overflow; farther than that is the longest seek anyway.
    const auto way = static_cast<nanoseconds::rep>(std::min(distance >> 10U, std::uint64_t{1} << 30U));
    const nanoseconds seek = distance == elsewhere
                                 ? longest_seek
                                 : std::min(nanoseconds(seek_per_mebibyte.count() * way / 1024), longest_seek);
    const nanoseconds::rep extra = jitter.count() <= 0 ? 0 : static_cast<nanoseconds::rep>(chance) % jitter.count();
    return std::max(fixed + per_kibibyte * kibibytes + seek + (is_sync ? sync : nanoseconds{0}) +
                        nanoseconds(extra < 0 ? -extra : extra),
                    nanoseconds{1});
  }

  /// As a distance: another file.
  static constexpr std::uint64_t elsewhere = ~std::uint64_t{0};
};

}  // namespace asioq::testing
