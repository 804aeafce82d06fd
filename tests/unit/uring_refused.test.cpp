#include <asioq/asioq.hpp>
#include <asioq/uring.hpp>

#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string>
#include <system_error>

#include "catch.hpp"
#include "child.hpp"
#include "requests.hpp"

using namespace asioq_test;

namespace {

/// From here on the kernel answers this process's io_uring_setup(2) with `error`, as container runtimes have it. False
/// if the kernel does not allow that.
bool forbid_io_uring(unsigned error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{std::size(filter), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/// No memory may be locked, nor by who is root. False if that cannot be had.
bool forbid_locked_memory() {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0) return false;
  if (::geteuid() != 0) return true;
  constexpr uid_t nobody = 65534;
  return ::setgroups(0, nullptr) == 0 && ::setgid(nobody) == 0 && ::setuid(nobody) == 0;  // and no capability is left
}

/// The error of making a context; 0 if there is none.
int error_of_set_up() {
  try {
    const asioq::uring_context context(8);
    return 0;
  } catch (const std::system_error& error) {
    return error.code().category() == std::system_category() ? error.code().value() : -1;
  }
}

/// Writes, and reads that again.
template <class Queue>
bool carries_out(Queue& queue, const descriptor& file) {
  queue.submit(write_back_of(queue, file, "text", 0));
  const asioq::asio_request done = run(queue, read_of(queue, file, 4, 0));
  return !done.error() && text_of(done.data()) == "text";
}

constexpr int as_it_should = 0;
constexpr int cannot_be_tried = 77;

/// An exit code for a child: says on its standard error which of the expectations does not hold.
int must_hold(bool holds, const char* what) {
  if (!holds) std::fprintf(stderr, "not so: %s\n", what);
  return holds ? as_it_should : 1;
}

/// Each case is given the error that the kernel answers with.
int nothing_can_be_set_up(int error) {
  return must_hold(!asioq::uring_context::available(), "available() is false") +
         must_hold(error_of_set_up() == error, "the constructor throws what the kernel says");
}

int the_pool_is_used(int error) {
  const descriptor file = temp_file();
  asioq::uring_or_pool context(8);
  asioq::basic_asio_queue<asioq::uring_or_pool::executor_type> queue{
      context.executor(), {.buffer_size = 512, .order = asioq::execution_order::as_if_serial}};
  return must_hold(!context.uses_uring(), "uses_uring() is false") +
         must_hold(context.reason() == std::error_code(error, std::system_category()), "reason() says why") +
         must_hold(carries_out(queue, file), "a queue works");
}

void check_ending(const ending& end, const char* why_not_tried) {
  if (end.exit_code == cannot_be_tried) {
    WARN("skipped: this process " << why_not_tried);
    return;
  }
  INFO(end.errors);
  CHECK(end.signal == 0);
  CHECK(end.exit_code == as_it_should);
}

/// Checks a case where io_uring is forbidden by a filter with this error.
void check_forbidden(int error, int (*check)(int error)) {
  const ending end = run_in_child([&] {
    if (!forbid_io_uring(static_cast<unsigned>(error))) return cannot_be_tried;
    return check(error);
  });
  check_ending(end, "may not filter system calls");
}

}  // namespace

TEST_CASE("where io_uring is forbidden, a context says so", "[uring][fault]") {
  for (const int error : {EPERM, ENOSYS}) check_forbidden(error, nothing_can_be_set_up);
}

TEST_CASE("where io_uring is forbidden, uring_or_pool is the pool", "[uring][fault]") {
  for (const int error : {EPERM, ENOSYS}) check_forbidden(error, the_pool_is_used);
}

TEST_CASE("without memory to lock, io_uring works or says that there is none", "[uring][fault]") {
  if (!asioq::uring_context::available()) {
    WARN("skipped: io_uring is not to be had");
    return;
  }
  const descriptor file = temp_file();
  const ending end = run_in_child([&] {
    if (!forbid_locked_memory()) return cannot_be_tried;
    const int error = error_of_set_up();
    const bool available = asioq::uring_context::available();
    if (error != 0)  // as Linux before 5.12 counts
      return must_hold(error == ENOMEM, "the error is ENOMEM") + must_hold(!available, "available() is false");
    asioq::uring_context context(8);
    asioq::basic_asio_queue queue{context.executor(), {.buffer_size = 512}};
    return must_hold(available, "available() is true") + must_hold(carries_out(queue, file), "a queue works");
  });
  check_ending(end, "cannot give up its privileges");
}
