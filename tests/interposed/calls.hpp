// System calls of this executable that a test counts, holds up or lets fail: replaced by calls.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "made_failure.hpp"

namespace asioq_test {

/// Questions about files (fstat, fcntl, fstatfs, statx, lseek, ioctl, name_to_handle_at) that this thread has asked.
extern thread_local long questions_here;
/// The same for all threads.
extern std::atomic<long> questions;

/// Whether the file system hands out file handles; if not, name_to_handle_at says so.
extern std::atomic<bool> has_handles;

/// While one lives, reads from a descriptor and writes to it are counted.
class transfer_counter {
 public:
  explicit transfer_counter(int fd);
  transfer_counter(const transfer_counter&) = delete;
  transfer_counter& operator=(const transfer_counter&) = delete;
  ~transfer_counter();

  /// Calls so far, on any thread.
  [[nodiscard]] long reads() const;
  [[nodiscard]] long writes() const;
};

/// While one lives, questions about the descriptor are answered only after `open`.
class question_gate {
 public:
  explicit question_gate(int fd);
  question_gate(const question_gate&) = delete;
  question_gate& operator=(const question_gate&) = delete;
  ~question_gate();

  void open();
  /// Until some thread stands in front of it.
  void await_visitor() const;
};

/// While one lives, fsync and fdatasync of the descriptor answer what the script says, then what the kernel says.
class sync_script {
 public:
  explicit sync_script(int fd, std::vector<int> errors = {});
  sync_script(const sync_script&) = delete;
  sync_script& operator=(const sync_script&) = delete;
  ~sync_script();

  /// Calls of the descriptor so far, whatever the answer.
  [[nodiscard]] long calls() const;
  /// The next call returns only after `release`.
  void hold();
  void await_held() const;
  void release();
};

/// A call that can be made to fail. Those of the kind `event_` are reads and writes of an eventfd, or of
/// anything else that is no disk.
enum class call : unsigned char {
  pread,
  pwrite,
  preadv,
  pwritev,
  read,
  write,
  readv,
  writev,
  fsync,
  fdatasync,
  ftruncate,
  fallocate,
  close,
  fstat,
  fstatfs,
  statx,
  fcntl,
  lseek,
  ioctl,
  name_to_handle_at,
  eventfd,
  event_read,
  event_write,
  poll,
  thread,
};
inline constexpr std::size_t number_of_calls = 25;

/// What a call answers instead of an errno value.
inline constexpr int cut_short = -1;  // a transfer of half the bytes
inline constexpr int no_bytes = -2;   // a transfer that succeeds and moves nothing

std::string_view name_of(call its);
/// The call of this name; nothing if there is none.
std::optional<call> call_named(std::string_view name);
/// What the call may answer, besides success: errno values and the above.
std::span<const int> answers_of(call its);

/// While one lives, calls fail, on any thread. One at a time.
class failing_calls {
 public:
  /// One call of this kind does, counted from 1; none if `number` is 0.
  failing_calls(call its, long number, int answer);
  /// Each call does with a probability of 1 to `one_in`.
  failing_calls(std::uint64_t seed, std::uint64_t one_in);
  failing_calls(const failing_calls&) = delete;
  failing_calls& operator=(const failing_calls&) = delete;
  ~failing_calls();

  /// From here on no call fails.
  void stop();
  /// How many calls of this kind there were.
  [[nodiscard]] long seen(call its) const;
  /// Whether any call has failed, or was cut short or interrupted.
  [[nodiscard]] bool has_failed() const;
  /// What the caller of the queue has to be told of.
  [[nodiscard]] std::span<const made_failure> made() const;
};

}  // namespace asioq_test
