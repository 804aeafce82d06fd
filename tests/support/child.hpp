// Things that can only be tried in a process of their own, and processes that cannot have more threads.
#pragma once

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <fstream>
#include <initializer_list>
#include <string>
#include <system_error>
#include <thread>

#include "files.hpp"

namespace asioq_test {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#else
inline constexpr bool sanitized = false;
#endif

/// How a child process ended, and what it wrote to its standard error.
struct ending {
  int exit_code = -1;  // -1: a signal ended it
  int signal = 0;
  std::string errors;
};

/// Runs `body`, which returns an exit code, in a fork of this process. SIGALRM ends it if it takes a minute. With a
/// sanitizer there must be no other threads.
template <class Body>
ending run_in_child(Body body) {
  pipe_ends pipe;
  const pid_t child = ::fork();
  if (child < 0) throw_errno("fork");
  if (child == 0) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    for (const int number : {SIGABRT, SIGTERM}) std::signal(number, SIG_DFL);  // Catch2 would report them
    ::alarm(60);
    ::dup2(pipe.write_end.get(), STDERR_FILENO);
    ::_exit(body());
  }
  pipe.write_end.reset();
  ending end;
  end.errors = pipe.take(64 * 1024);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  return end;
}

/// The stacks of new threads are larger than any memory while this lives, so none can be started.
class enormous_stacks {
 public:
  enormous_stacks() {
    ::pthread_getattr_default_np(&old_);
    pthread_attr_t huge;
    ::pthread_getattr_default_np(&huge);
    ::pthread_attr_setstacksize(&huge, std::size_t{1} << 46);
    ::pthread_setattr_default_np(&huge);
    ::pthread_attr_destroy(&huge);
  }
  enormous_stacks(const enormous_stacks&) = delete;
  enormous_stacks& operator=(const enormous_stacks&) = delete;
  ~enormous_stacks() {
    ::pthread_setattr_default_np(&old_);
    ::pthread_attr_destroy(&old_);
  }

 private:
  pthread_attr_t old_;
};

inline bool can_refuse_threads() {
  const enormous_stacks no_threads;
  try {
    std::thread([] {}).join();
    return false;
  } catch (const std::system_error&) {
    return true;
  }
}

/// Leaves this process address space for about this many more threads, for good.
inline void limit_threads_to_about(std::size_t count) {
  constexpr std::size_t stack = 64 << 20;
  pthread_attr_t attributes;
  ::pthread_getattr_default_np(&attributes);
  ::pthread_attr_setstacksize(&attributes, stack);
  ::pthread_setattr_default_np(&attributes);
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const std::size_t room = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + count * (stack + stack / 4);
  const rlimit limit{room, room};
  ::setrlimit(RLIMIT_AS, &limit);
}

}  // namespace asioq_test
