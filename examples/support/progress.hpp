#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

/// A line that says how far a program is, where a person is watching. It goes when the program is done.
class progress {
 public:
  explicit progress(bool is_wanted = true) : is_shown_(is_wanted && ::isatty(STDERR_FILENO) == 1) {}
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() { erase(); }

  /// Whether to show something now: at most ten times a second.
  bool is_due() {
    const auto now = std::chrono::steady_clock::now();
    if (!is_shown_ || now < next_) return false;
    next_ = now + std::chrono::milliseconds{100};
    return true;
  }

  void show(const std::string& text) {
    if (is_shown_) std::fprintf(stderr, "\r\033[K%s", text.c_str());
  }

  /// Makes room for a message.
  void erase() { show(""); }

 private:
  const bool is_shown_;
  std::chrono::steady_clock::time_point next_{};
};
