#pragma once

/// @file
/// An executor around an executor: operations begin later.

#include <asioq/io_executor.hpp>
#include <asioq/testing/detail/filter.hpp>
#include <asioq/testing/detail/generator.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

namespace asioq::testing {

/// For how long operations are held back.
struct delay_options {
  std::chrono::nanoseconds shortest = std::chrono::milliseconds{1};  ///< The least.
  std::chrono::nanoseconds longest = shortest;                       ///< The most; chosen by the seed.
  std::uint64_t seed = 1;                                            ///< Chooses.
};

/// Holds operations of any `io_executor` back for a real time, so that a fast disk shows what a slow one would. If the
/// times differ, operations also begin in another order. Outlives its queues.
///
/// An event loop finds the descriptor readable while anything is held back, and polls again and again. A
/// `simulated_disk` needs no filter to be slow: see `latency_model`, and its time costs none.
template <io_executor Inner>
class delay : public detail::filter<Inner, delay<Inner>> {
  using base = detail::filter<Inner, delay>;
  using clock = std::chrono::steady_clock;

 public:
  /// Goes around `inner`. Throws nothing of its own.
  explicit delay(Inner inner, delay_options options = {})
      : base(std::move(inner)), options_(options), random_(options.seed) {}

 private:
  friend base;
  using step = typename base::step;

  void arrived(step& its) {
    const auto range = std::max(options_.longest - options_.shortest, std::chrono::nanoseconds{0}).count();
    const auto more = static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(range) + 1));
    const std::chrono::nanoseconds now = clock::now().time_since_epoch();
    its.time = (now + options_.shortest + std::chrono::nanoseconds(more)).count();
    held_.push_back(&its);
  }

  void release() {
    for (const auto now = clock::now(); next_release() <= now;) {
      const auto next = std::ranges::min_element(held_, {}, &step::time);
      base::pass(**next);
      held_.erase(next);
    }
  }

  [[nodiscard]] clock::time_point next_release() const noexcept {
    const auto next = std::ranges::min_element(held_, {}, &step::time);
    if (next == held_.end()) return clock::time_point::max();
    return clock::time_point(std::chrono::ceil<clock::duration>(std::chrono::nanoseconds((*next)->time)));
  }

  [[nodiscard]] bool withdraw(step& its) noexcept { return std::erase(held_, &its) > 0; }

  delay_options options_;
  detail::generator random_;
  std::vector<step*> held_;
};

}  // namespace asioq::testing
