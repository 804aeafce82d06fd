// How many bytes the program has from operator new.
#pragma once

#include <atomic>

namespace asioq_soak {

/// Of all threads; as the allocator counts them, so with its rounding.
extern std::atomic<long> live_bytes;

}  // namespace asioq_soak
