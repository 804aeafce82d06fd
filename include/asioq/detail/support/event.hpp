#pragma once

#include <poll.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#else
#include <fcntl.h>
#endif

#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

namespace asioq::detail {

/// A descriptor that one thread makes readable and another one waits for: an eventfd(2), or a pipe where there is none.
class event {
 public:
  /// Throws `std::system_error` if there are no descriptors left.
  event() {
#ifdef __linux__
    ends_[0] = ends_[1] = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const bool made = ends_[0] >= 0;
#else
    const bool made = ::pipe(ends_.data()) == 0;
    for (const int end : ends_) {
      if (!made) break;
      ::fcntl(end, F_SETFD, FD_CLOEXEC);
      ::fcntl(end, F_SETFL, O_NONBLOCK);
    }
#endif
    if (!made) throw std::system_error(errno, std::system_category(), "asioq: no descriptor for an event loop");
  }
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event() {
    ::close(ends_[0]);
    if (ends_[1] != ends_[0]) ::close(ends_[1]);
  }

  [[nodiscard]] int descriptor() const noexcept { return ends_[0]; }

  /// Makes the descriptor readable; on any thread. It cannot fail: if the descriptor is full, it is readable.
  void signal() noexcept {
    const std::uint64_t one = 1;
    while (::write(ends_[1], &one, sizeof one) < 0 && errno == EINTR) {
    }
  }

  /// Makes it unreadable. Returns how many signals have made it readable.
  std::uint64_t drain() noexcept {
    std::uint64_t signals = 0;
    for (std::uint64_t value = 0;;) {
      if (::read(ends_[0], &value, sizeof value) < 0) {
        if (errno != EINTR) return signals;
      } else {
        signals += value;
        if (ends_[0] == ends_[1]) return signals;  // an eventfd has only one number, which is the sum
      }
    }
  }

 private:
  std::array<int, 2> ends_{-1, -1};  // to read from and to write to
};

/// Blocks until one of two descriptors is readable.
inline void wait_for_either(int first, int second) noexcept {
  std::array<pollfd, 2> both{{{first, POLLIN, 0}, {second, POLLIN, 0}}};
  while (::poll(both.data(), both.size(), -1) < 0 && errno == EINTR) {
  }
}

}  // namespace asioq::detail
