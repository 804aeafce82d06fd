#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <semaphore>
#include <thread>

namespace asioq::detail {

// Everything that threads share in the dispatchers is made of these alone. So the explorer in tests/explorer, which
// puts a header of its own in the place of this one, sees every step in which one thread can observe another.
template <class T>
using atomic = std::atomic<T>;
using mutex = std::mutex;
using counting_semaphore = std::counting_semaphore<>;
using thread_id = std::thread::id;

inline thread_id this_thread() noexcept { return std::this_thread::get_id(); }

/// What a task carries out before another queue may have its worker. It is here because the explorer makes it small.
inline constexpr std::size_t requests_per_turn = 64;

}  // namespace asioq::detail
