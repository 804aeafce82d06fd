#pragma once

/// @file
/// What a queue has to know of a file to tell which requests could observe each other.

#include <cstddef>
#include <cstdint>
#include <limits>

namespace asioq {

/// Which file a descriptor means. Equal for two descriptors exactly if they mean the same file.
struct file_identity {
  std::uint64_t volume = 0;      ///< The file system or disk.
  std::uint64_t file = 0;        ///< The file on it.
  std::uint64_t generation = 0;  ///< Tells a file from an earlier one that had the same number; 0 if unknown.

  bool operator==(const file_identity&) const = default;
};

/// What is known of a descriptor and its file.
struct file_facts {
  /// The size of what has no end that moves: disks and streams.
  static constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

  file_identity identity{};   ///< See `file_identity`.
  bool is_stream = false;     ///< Offsets mean nothing, as in a pipe or a terminal. All requests on it conflict.
  bool appends = false;       ///< Writes go to the end, whatever their offset (O_APPEND).
  std::uint64_t size = 0;     ///< Bytes that the file has at least; `unlimited` if its end does not move.
  std::size_t alignment = 1;  ///< What offsets and lengths of its transfers must be multiples of, for streams.
};

}  // namespace asioq
