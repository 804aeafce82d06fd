#pragma once

/// @file
/// The offset that means the file's own position.

#include <cstdint>

namespace asioq {

/// The type of `current_position`, which converts to a number, so an offset can be kept as one. No other number above
/// the largest offset is valid as an offset. So what `offset()` returns can be prepared again.
struct current_position_t {
  explicit current_position_t() = default;

  /// A number that no file reaches and that no failed call returns: the -1 of a failed lseek(2) is not taken for it.
  constexpr operator std::uint64_t() const noexcept {  // NOLINT(google-explicit-constructor): see above
    return 0xa5105a5105a51051U;
  }

  /// Whether an offset means the file's own position.
  friend constexpr bool operator==(std::uint64_t offset, current_position_t its) noexcept {
    return offset == static_cast<std::uint64_t>(its);
  }
};

/// As an offset: the file's own position, which the operation moves. For pipes, terminals and sockets, the only choice.
inline constexpr current_position_t current_position{};

}  // namespace asioq
