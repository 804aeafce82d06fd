// A byte string as a source of choices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace asioq_fuzz {

/// Gives one choice after the other. When the bytes are used up, each choice is the first.
class byte_source {
 public:
  explicit byte_source(std::span<const std::uint8_t> bytes) noexcept : left_(bytes) {}

  [[nodiscard]] bool empty() const noexcept { return left_.empty(); }

  /// From 0 to `limit` - 1, at most 65535. A small limit takes one byte, so that a changed byte changes one choice.
  std::size_t below(std::size_t limit) noexcept {
    std::size_t value = next();
    if (limit > 256) value = value * 256 + next();
    return value % limit;
  }

  /// Once in so many times.
  bool chance(std::size_t of) noexcept { return below(of) == of - 1; }

 private:
  std::size_t next() noexcept {
    if (left_.empty()) return 0;
    const std::size_t first = left_.front();
    left_ = left_.subspan(1);
    return first;
  }

  std::span<const std::uint8_t> left_;
};

}  // namespace asioq_fuzz
