#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>

/// A line that says how far a program is, where a person is watching. It goes when the program is done.
class progress {
 public:
  explicit progress(bool is_wanted = true) : is_shown_(is_wanted && ::isatty(STDERR_FILENO) == 1) {}
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() { erase(); }

  /// "3 of 7 MiB", or "3 MiB" if the total is 0. It changes at most ten times a second.
  void show(std::uint64_t done, std::uint64_t total, const char* unit) {
    const auto now = std::chrono::steady_clock::now();
    if (!is_shown_ || now < next_) return;
    next_ = now + std::chrono::milliseconds{100};
    erase();
    std::fprintf(stderr, "%llu ", static_cast<unsigned long long>(done));
    if (total != 0) std::fprintf(stderr, "of %llu ", static_cast<unsigned long long>(total));
    std::fputs(unit, stderr);
  }

  /// Makes room for a message.
  void erase() {
    if (is_shown_) std::fputs("\r\033[K", stderr);
  }

 private:
  const bool is_shown_;
  std::chrono::steady_clock::time_point next_{};
};
