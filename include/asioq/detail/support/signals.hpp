#pragma once

#include <pthread.h>

#include <csignal>
#include <initializer_list>

namespace asioq::detail {

/// While an object of this class lives, the calling thread blocks the signals that a worker must not take. A thread
/// that it starts meanwhile inherits the mask with its first instruction, so there is no moment at which it could take
/// one.
///
/// Two kinds stay open. The signals of a fault do, since the kernel ends the process when they are blocked. SIGPROF
/// does, since profilers sample each thread by it. Source: pthread_sigmask(3), signal(7).
class signals_blocked {
 public:
  signals_blocked() noexcept {
    ::sigset_t blocked;
    ::sigfillset(&blocked);
    for (const int open : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF})
      ::sigdelset(&blocked, open);
    ::pthread_sigmask(SIG_BLOCK, &blocked, &before_);
  }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;
  ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  ::sigset_t before_{};
};

}  // namespace asioq::detail
