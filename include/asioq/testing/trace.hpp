#pragma once

/// @file
/// An executor around an executor: a file that shows when each operation began and ended.

#include <asioq/file_offset.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/operation.hpp>
#include <asioq/testing/detail/filter.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <iterator>
#include <ostream>
#include <utility>
#include <vector>

namespace asioq::testing {

/// Writes the operations of any `io_executor` in the JSON format of Chrome's trace viewer, which https://ui.perfetto.dev
/// opens: an event for each, with descriptor, offset, length and outcome. Those that overlap are in different rows, as
/// if on threads. The times are from the start of the operation to the call that has completed it. Outlives its queues;
/// the stream outlives it. What the stream cannot take is missing.
template <io_executor Inner>
class trace : public detail::filter<Inner, trace<Inner>> {
  using base = detail::filter<Inner, trace>;

 public:
  /// What gives the times; for a simulated disk, `[&] { return disk.now(); }`.
  using clock = std::function<std::chrono::nanoseconds()>;

  /// Goes around `inner`, and writes to `out` from the first operation on. Throws nothing of its own.
  trace(
      Inner inner, std::ostream& out, clock now = [] { return std::chrono::steady_clock::now().time_since_epoch(); })
      : base(std::move(inner)), out_(&out), now_(std::move(now)), start_(now_()) {}
  /// Writes the end.
  ~trace() { write(is_first_ ? "[]\n" : "\n]\n"); }

 private:
  friend base;
  using step = typename base::step;

  void arrived(step& its) {
    const auto row = std::ranges::find(rows_, false);
    its.number = std::distance(rows_.begin(), row);
    if (row == rows_.end()) rows_.push_back(false);
    its.time = (now_() - start_).count();
    base::pass(its);
    rows_[static_cast<std::size_t>(its.number)] = true;
  }

  void ended(const step& its, std::int64_t outcome) noexcept {
    rows_[static_cast<std::size_t>(its.number)] = false;
    const std::int64_t length = (now_() - start_).count() - its.time;
    const bool is_at_position = its.offset() == current_position;
    write(is_first_ ? "[\n" : ",\n", R"({"name":")", traits_of(its.op()).name, R"(","ph":"X","pid":1,"tid":)",
          its.number + 1, R"(,"ts":)", in_us(its.time), R"(,"dur":)", in_us(length), R"(,"args":{"fd":)", its.fd(),
          R"(,"offset":)", is_at_position ? 0 : its.offset(), is_at_position ? R"(,"at_position":true)" : "",
          R"(,"length":)", its.length(), R"(,"outcome":)", outcome, "}}");
    is_first_ = false;
  }

  /// Nanoseconds, of which a trace has microseconds.
  struct in_us {
    std::int64_t time;
    explicit in_us(std::int64_t its) noexcept : time(its) {}
    friend std::ostream& operator<<(std::ostream& out, in_us its) {
      return out << its.time / 1000 << '.' << its.time / 100 % 10 << its.time / 10 % 10 << its.time % 10;
    }
  };

  template <class... Parts>
  void write(const Parts&... parts) noexcept {
    try {
      ((*out_ << parts), ...);
    } catch (...) {  // NOLINT(bugprone-empty-catch): see above
    }
  }

  std::ostream* out_;
  clock now_;
  std::chrono::nanoseconds start_;
  std::vector<bool> rows_;  // whether an operation is in it
  bool is_first_ = true;
};

}  // namespace asioq::testing
