// System calls of this executable that a test counts, holds up or lets fail: replaced by calls.cpp.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

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

}  // namespace asioq_test
