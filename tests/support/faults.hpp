// Real faults: limits and signals of the process, put back at the end of the scope.
#pragma once

#include <sys/resource.h>

#include <csignal>

#include "files.hpp"

namespace asioq_test {

/// Handles a signal in its own way for as long as it lives.
class signal_action {
 public:
  signal_action(int number, void (*handler)(int)) : number_(number) {
    struct sigaction wanted{};
    wanted.sa_handler = handler;  // no SA_RESTART: system calls are interrupted
    if (::sigaction(number, &wanted, &old_) != 0) throw_errno("sigaction");
  }
  signal_action(const signal_action&) = delete;
  signal_action& operator=(const signal_action&) = delete;
  ~signal_action() { ::sigaction(number_, &old_, nullptr); }

 private:
  int number_;
  struct sigaction old_{};
};

/// No file of this process can grow beyond `bytes` while this lives: not even the report of the tests.
class file_size_limit {
 public:
  explicit file_size_limit(rlim_t bytes) : ignore_(SIGXFSZ, SIG_IGN) {
    if (::getrlimit(RLIMIT_FSIZE, &old_) != 0) throw_errno("getrlimit");
    const rlimit wanted{bytes, old_.rlim_max};
    if (::setrlimit(RLIMIT_FSIZE, &wanted) != 0) throw_errno("setrlimit");
  }
  file_size_limit(const file_size_limit&) = delete;
  file_size_limit& operator=(const file_size_limit&) = delete;
  ~file_size_limit() { ::setrlimit(RLIMIT_FSIZE, &old_); }

 private:
  signal_action ignore_;
  rlimit old_{};
};

}  // namespace asioq_test
