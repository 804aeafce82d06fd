// How often the program has called operator new, and whether the next call fails: counted by counting_new.cpp, which
// replaces it.
#pragma once

#include <atomic>

namespace asioq_test {

/// Calls of every form of operator new so far, on all threads, that have given memory.
extern std::atomic<long> news;

/// What operator new has given and operator delete has not taken back; in bytes as the allocator counts them, so with
/// its rounding.
extern std::atomic<long> live_news;
extern std::atomic<long> live_bytes;

/// While one lives, one call of operator new fails: counted from 1, on all threads.
class failing_new {
 public:
  explicit failing_new(long number);
  failing_new(const failing_new&) = delete;
  failing_new& operator=(const failing_new&) = delete;
  ~failing_new();

  /// Whether there have been so many calls.
  [[nodiscard]] bool has_failed() const;
};

}  // namespace asioq_test
