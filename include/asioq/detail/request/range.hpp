#pragma once

#include <compare>
#include <cstdint>

namespace asioq::detail {

/// A place in a file. Places of different files are ordered too, so that one tree can hold the ranges of all files.
struct file_place {
  std::uint64_t file = 0;
  std::uint64_t offset = 0;

  auto operator<=>(const file_place&) const = default;
};

/// A range of bytes of one file, with its links in an `interval_tree`.
struct range {
  file_place begin;
  file_place end;         // one past the last byte
  std::uint64_t age = 0;  // unique; the oldest has the least

  // Only for the tree: see there.
  range* left = nullptr;
  range* right = nullptr;
  bool is_listed = false;
  std::uint64_t priority = 0;
  file_place last_end;
  std::uint64_t least_age = 0;
  std::uint64_t greatest_age = 0;
};

}  // namespace asioq::detail
