// What an event loop does with a descriptor.
#pragma once

#include <poll.h>

#include <cerrno>
#include <cstdint>
#include <thread>

#include "files.hpp"

namespace asioq_test {

/// In milliseconds: longer than anything takes that is not lost.
inline constexpr int for_long = 20'000;

/// Whether the descriptor is readable, now or within `milliseconds`.
inline bool is_readable(int fd, int milliseconds = 0) {
  pollfd its{fd, POLLIN, 0};
  int count = 0;
  while ((count = ::poll(&its, 1, milliseconds)) < 0 && errno == EINTR) {
  }
  if (count < 0) throw_errno("poll");
  return count == 1;
}

/// Whether the queue finds nothing, and says so. A party that was about to make the descriptor readable when the owner
/// looked may still do it, once; the owner then looks once more.
template <class Queue>
bool is_silent(Queue& queue, int fd) {
  for (int tries = 0; tries < 1000; ++tries) {
    if (queue.poll() != 0 || queue.try_wait()) return false;
    if (!is_readable(fd)) return true;
    std::this_thread::yield();
  }
  return false;
}

/// Sleeps as an event loop that has other things to do now and then. Returns false if it has slept too long: if more
/// than `harvested` requests, all of which come back, have finished, the descriptor has to be readable.
template <class Queue>
bool sleep_in_loop(const Queue& queue, int fd, std::uint64_t harvested) {
  return is_readable(fd, 50) || queue.completed_through() == harvested || is_readable(fd, for_long);
}

}  // namespace asioq_test
