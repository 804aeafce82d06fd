// Several threads for a test, and what the kernel says of this process's threads.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace asioq_test {

/// Runs `body()` on `count` threads at once and waits for all. What one of them throws is thrown here: also where there
/// are too few threads, a test fails, and the others go on.
template <class Body>
void run_on_threads(std::size_t count, Body body) {
  std::vector<std::future<void>> runs;
  for (std::size_t i = 0; i < count; ++i) runs.push_back(std::async(std::launch::async, [&body] { body(); }));
  for (std::future<void>& one : runs) one.get();
}

/// Whether the thread of a folder in /proc has not begun to exit. One that was joined may stay there for a moment.
/// Source: proc_pid_stat(5), where bit 2 of `flags` is the kernel's PF_EXITING.
inline bool is_running(const std::filesystem::path& task) {
  std::string line;
  if (!std::getline(std::ifstream(task / "stat"), line)) return false;
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < 6; ++i) fields >> skipped;
  unsigned long flags = 0;
  return fields >> flags && (flags & 4U) == 0;
}

inline std::size_t thread_count() {
  std::size_t count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task"))
    if (is_running(task.path())) ++count;
  return count;
}

/// The same without the kernel's own threads for io_uring, which go some time after their ring.
inline std::size_t program_thread_count() {
  std::size_t count = 0;
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", gone)) {
    std::string name;
    std::ifstream(task.path() / "comm") >> name;
    if (!name.starts_with("iou-")) ++count;
  }
  return count;
}

/// Waits until there are no more than `count` threads, as `counted` by one of the above.
inline bool threads_fall_to(std::size_t count, std::size_t (*counted)() = thread_count) {
  for (int tries = 0; tries < 2'000'000; ++tries) {
    if (counted() <= count) return true;
    std::this_thread::yield();
  }
  return false;
}

/// False where the kernel does not show what a thread is doing.
inline bool can_see_system_calls() {
  std::ifstream file("/proc/self/syscall");
  long number = -1;
  return static_cast<bool>(file >> number);
}

/// The thread that is inside the system call `number` with `fd` as first argument.
inline std::optional<pid_t> thread_in(long number, int fd) {
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", gone)) {
    std::ifstream file(task.path() / "syscall");
    std::string now;
    std::string first;
    if (!(file >> now >> first) || now != std::to_string(number)) continue;
    if (std::stoul(first, nullptr, 16) == static_cast<unsigned long>(fd)) return std::stoi(task.path().filename());
  }
  return std::nullopt;
}

/// Polls until some thread is inside that call.
inline pid_t wait_for_thread_in(long number, int fd) {
  for (;;) {
    if (const std::optional<pid_t> thread = thread_in(number, fd)) return *thread;
    std::this_thread::yield();
  }
}

inline void signal_thread(pid_t thread, int number) { ::syscall(SYS_tgkill, ::getpid(), thread, number); }

}  // namespace asioq_test
