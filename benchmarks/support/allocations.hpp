// Counts what the program takes from operator new.
#pragma once

#include <cstddef>

namespace bench {

struct allocation_count {
  std::size_t times;
  std::size_t bytes;
};

/// Since the program began, also what has been freed again.
allocation_count allocated() noexcept;

}  // namespace bench
