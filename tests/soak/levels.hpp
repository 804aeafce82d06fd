// Whether a level that was measured again and again is flat.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace asioq_soak {

/// What was measured of one thing, and the rule that says whether it grows.
///
/// A run first fills caches, pools and the allocator's free lists, so the first quarter does not count. Noise is one
/// sided: what is in use for a moment raises a value, and nothing lowers it below what is really held. So the rest is cut
/// into 12 parts of equal length, and the lowest value of each stands for it.
///
/// A leak raises these 12 from part to part. The test for that is Mann and Kendall's, which assumes nothing about how
/// values are distributed: of the 66 pairs of parts, it counts those that rise, less those that fall. If all orders of
/// the 12 are equally likely, that exceeds 54 once in 120 000 runs, so a run in which it does is not flat. (The number
/// of orders with so many inversions is a Mahonian number; 8.2e-6 of all 12! have 5 or fewer.) A step that comes once,
/// such as an arena of malloc's, makes at most 36 pairs rise, and does not fail the run.
///
/// Besides, the level must have grown by more than `tolerance` from the first part to the last. That is 0 for what is
/// counted exactly, and what the allocator's and the kernel's bookkeeping may take for what is not.
class level {
 public:
  static constexpr std::size_t parts = 12;
  static constexpr int significant = 54;

  level(std::string name, double unit, double tolerance) : name_(std::move(name)), unit_(unit), tolerance_(tolerance) {
    values_.reserve(std::size_t{1} << 17U);  // so that it does not itself grow in a run of some hours
  }

  void measured(double value) { values_.push_back(value); }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] double last() const { return values_.back() / unit_; }
  [[nodiscard]] double lowest() const { return *std::ranges::min_element(values_) / unit_; }
  [[nodiscard]] double highest() const { return *std::ranges::max_element(values_) / unit_; }

  /// Whether there are enough values to say something.
  [[nodiscard]] bool is_known() const { return values_.size() >= 2 * parts; }

  /// How much it has grown since the first quarter, in its unit.
  [[nodiscard]] double growth() const {
    const std::vector<double> lows = low_values();
    return (lows.back() - lows.front()) / unit_;
  }

  /// Pairs of parts that rise, less those that fall.
  [[nodiscard]] int trend() const {
    const std::vector<double> lows = low_values();
    int count = 0;
    for (std::size_t i = 0; i < parts; ++i)
      for (std::size_t k = i + 1; k < parts; ++k) count += (lows[k] > lows[i] ? 1 : 0) - (lows[k] < lows[i] ? 1 : 0);
    return count;
  }

  [[nodiscard]] bool grows() const { return trend() > significant && growth() * unit_ > tolerance_; }

 private:
  [[nodiscard]] std::vector<double> low_values() const {
    const std::size_t skipped = values_.size() / 4;
    const std::size_t used = values_.size() - skipped;
    std::vector<double> lows;
    for (std::size_t i = 0; i < parts; ++i) {
      const auto first = values_.begin() + static_cast<std::ptrdiff_t>(skipped + used * i / parts);
      const auto last = values_.begin() + static_cast<std::ptrdiff_t>(skipped + used * (i + 1) / parts);
      lows.push_back(*std::min_element(first, last));
    }
    return lows;
  }

  std::string name_;
  double unit_;  // for people
  double tolerance_;
  std::vector<double> values_;
};

}  // namespace asioq_soak
