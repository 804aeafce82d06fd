#pragma once

#include <pthread.h>

#include <csignal>
#include <initializer_list>

namespace asioq::detail {

/// While one lives, the calling thread blocks the signals that a worker must not take; a thread started meanwhile inherits
/// that from its first instruction, so there is no moment at which it could take one.
///
/// What stays open are the signals that a thread raises by a fault of its own, which the kernel delivers by ending the
/// process where they are blocked, and SIGPROF, by which profilers sample each thread. Source: pthread_sigmask(3), signal(7).
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
