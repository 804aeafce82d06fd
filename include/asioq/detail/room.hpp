#pragma once

#include <asioq/detail/sync.hpp>

#include <algorithm>
#include <cstddef>
#include <semaphore>

namespace asioq::detail {

/// Permits for write-backs: `size` of them, each out from before a write-back is submitted until it has finished.
///
/// The owner of the queue acquires, one thread: libstdc++ 12 can lose a wake-up with two (GCC PR 104928). Whoever
/// carries out the requests releases.
///
/// The semaphore holds a spare permit besides. Releasing from 0 costs a system call in libstdc++, sleeper or not; with
/// the spare one inside, the count is above 0 as long as the owner is awake. To sleep, the owner takes the spare one
/// out.
class room {
 public:
  /// More permits than a semaphore can count are as good as no limit.
  explicit room(std::size_t size) : permits_(static_cast<std::ptrdiff_t>(std::min(size, most - 1)) + 1) {}

  /// Takes a permit that is known to be free, or to come with the next step of who carries out the requests.
  void take() noexcept { permits_.acquire(); }

  /// Gives permits back.
  void give(std::size_t count = 1) noexcept { permits_.release(static_cast<std::ptrdiff_t>(count)); }

  /// Before and after a sleep in `take()`.
  void take_spare() noexcept { permits_.acquire(); }
  void give_spare() noexcept { permits_.release(); }

 private:
  static constexpr auto most = static_cast<std::size_t>(counting_semaphore::max());

  counting_semaphore permits_;
};

}  // namespace asioq::detail
