#pragma once

#include <algorithm>
#include <cstddef>

namespace asioq::detail {

/// How far a reader reads ahead of its consumer, in blocks. It only counts: it knows of no file and no clock.
///
/// - It doubles the distance when the consumer really waited for a block that was read ahead at the present distance.
///   After a change, the consumer has to consume the blocks of the old distance first. So the distance never exceeds
///   twice the least one at which the consumer does not wait.
/// - It reduces the distance by an eighth, but not below one block, when a whole maximal window was consumed without a
///   wait. The blocks that were there at the last wait do not count: they came together with the block that the
///   consumer waited for.
/// - It halves the distance when more than a quarter of what was read ahead in the last two windows was thrown away.
///   Then it does not double the distance before another maximal window was consumed.
/// - It refills when half of the distance is consumed, so that the reads begin a few at a time.
///
/// The rules are those of PostgreSQL 19's read_stream.
class look_ahead {
 public:
  /// For a distance of at most `most` blocks, which may be 0.
  explicit look_ahead(std::size_t most) noexcept : most_(most), distance_(std::min<std::size_t>(most, 1)) {}

  /// Blocks to have read ahead, beyond the one that the consumer has or wants.
  [[nodiscard]] std::size_t distance() const noexcept { return distance_; }

  /// How many more blocks to read now, if `ahead` are read ahead.
  [[nodiscard]] std::size_t wanted(std::size_t ahead) const noexcept {
    return ahead > distance_ / 2 ? 0 : distance_ - ahead;
  }

  /// One more block is being read ahead.
  void read_ahead() noexcept {
    ++now_.read;
    if (now_.read < most_) return;
    before_ = now_;
    now_ = {};
  }

  /// The consumer has got the next block of a sequence, and really waited for it or did not.
  void consumed(bool waited) noexcept {
    const bool is_settled = settling_ == 0;
    if (!is_settled) --settling_;
    if (!waited) {
      if (++without_wait_ < most_ + distance_ || distance_ <= 1) return;
      without_wait_ = 0;
      distance_ -= std::max<std::size_t>(distance_ / 8, 1);
      return;
    }
    without_wait_ = 0;
    if (!is_settled || distance_ == most_) return;
    settling_ = distance_;
    distance_ = distance_ > most_ / 2 ? most_ : std::max<std::size_t>(2 * distance_, 1);
  }

  /// `blocks` blocks that were read ahead were thrown away.
  void thrown_away(std::size_t blocks) noexcept {
    now_.thrown_away += blocks;
    if (4 * (before_.thrown_away + now_.thrown_away) <= before_.read + now_.read) return;
    before_ = now_ = {};
    distance_ /= 2;
    settling_ = most_;
  }

 private:
  struct window {
    std::size_t read = 0;
    std::size_t thrown_away = 0;
  };

  std::size_t most_;  // constant
  std::size_t distance_;
  std::size_t settling_ = 0;      // blocks to be consumed before a wait counts
  std::size_t without_wait_ = 0;  // blocks consumed since the last wait or decay
  window before_;                 // the last window that is complete
  window now_;
};

}  // namespace asioq::detail
