#include <asioq/asioq.hpp>
#include <asioq/uring.hpp>

#include <grp.h>
#include <liburing.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <system_error>
#include <thread>

#include "catch.hpp"
#include "child.hpp"
#include "requests.hpp"

using namespace asioq_test;
using namespace std::chrono_literals;

namespace {

/// Installs a seccomp filter, for good. False if the kernel does not allow that.
template <std::size_t Size>
bool install(sock_filter (&filter)[Size]) {
  sock_fprog program{Size, filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/// From here on the kernel answers this process's io_uring_setup(2) with `error`, as container runtimes have it. False
/// if the kernel does not allow that.
bool forbid_io_uring(unsigned error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  return install(filter);
}

/// From here on the kernel has no memory for what this process submits, but lets it wait. False if that cannot be had.
bool forbid_submission() {
  static_assert(std::endian::native == std::endian::little);
  constexpr auto to_submit = offsetof(seccomp_data, args) + sizeof(std::uint64_t);
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_enter, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, to_submit),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  return install(filter);
}

/// Limits do not hold for root.
bool become_nobody() {
  if (::geteuid() != 0) return true;
  constexpr uid_t nobody = 65534;
  return ::setgroups(0, nullptr) == 0 && ::setgid(nobody) == 0 && ::setuid(nobody) == 0;  // and no capability is left
}

/// No memory may be locked. False if that cannot be had.
bool forbid_locked_memory() {
  const rlimit none{0, 0};
  return ::setrlimit(RLIMIT_MEMLOCK, &none) == 0 && become_nobody();
}

/// Sets how many threads this user may have; `RLIM_INFINITY` stands for as many as ever.
bool allow_threads(rlim_t count) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NPROC, &limit) != 0) return false;
  limit.rlim_cur = std::min(count, limit.rlim_max);
  return ::setrlimit(RLIMIT_NPROC, &limit) == 0;
}

/// Neither this process nor the kernel for it can start a thread. False if that cannot be had.
bool forbid_threads() {
  if (!become_nobody() || !allow_threads(1)) return false;
  try {
    std::thread([] {}).join();
    return false;
  } catch (const std::system_error&) {
    return true;
  }
}

/// The time that this process has spent on a processor.
std::chrono::nanoseconds busy_time() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
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

namespace {

/// Runs `check` in a child for which neither the program nor the kernel can start threads.
template <class Check>
void check_without_threads(Check check) {
  if (!asioq::uring_context::available()) {
    WARN("skipped: io_uring is not to be had");
    return;
  }
  const ending end = run_in_child([&] {
    if (!forbid_threads()) return cannot_be_tried;
    return check();
  });
  check_ending(end, "cannot be refused threads");
}

asioq::queue_options in_order(asioq::execution_order order) { return {.buffer_size = 512, .order = order}; }

}  // namespace

TEST_CASE("where the kernel cannot start its threads, requests are carried out all the same", "[uring][fault]") {
  const descriptor file = temp_file();
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    check_without_threads([&] {
      asioq::uring_context context(8);
      asioq::basic_asio_queue queue{context.executor(), in_order(order)};
      queue.submit(write_back_of(queue, file, "some ", 0));
      queue.submit(fsync_of(queue, file));
      queue.submit(write_back_of(queue, file, "text", 5));
      asioq::asio_request datasync = queue.get();
      datasync.prepare_fdatasync(file.get());
      queue.submit(std::move(datasync));
      queue.submit(read_of(queue, file, 9, 0));
      int wrong = 0;
      for (const asioq::asio_op op : {asioq::asio_op::fsync, asioq::asio_op::fdatasync, asioq::asio_op::read}) {
        const asioq::asio_request done = queue.wait();
        wrong += must_hold(done && done.op() == op && !done.error(), "a request succeeds");
        if (op == asioq::asio_op::read) wrong += must_hold(text_of(done.data()) == "some text", "the data are right");
      }
      return wrong;
    });
  }
}

TEST_CASE("where the kernel cannot start its threads, a queue that only polls neither blocks nor fails",
          "[uring][fault]") {
  const descriptor file = temp_file();
  check_without_threads([&] {
    asioq::uring_context context(8);
    asioq::basic_asio_queue queue{context.executor(), in_order(asioq::execution_order::strict)};
    queue.submit(fsync_of(queue, file));
    const auto start = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() < start + 300ms) {
      if (queue.try_wait()) return must_hold(false, "the request waits for a thread of the kernel's");
    }
    if (!allow_threads(RLIM_INFINITY)) return cannot_be_tried;
    asioq::asio_request done;
    while (!done && std::chrono::steady_clock::now() < start + 20s) done = queue.try_wait();
    return must_hold(done && !done.error(), "it succeeds when there are threads again");
  });
}

TEST_CASE("where the kernel cannot start its threads, an event loop tries again, and sleeps meanwhile",
          "[uring][fault]") {
  const descriptor file = temp_file();
  check_without_threads([&] {
    asioq::uring_context context(8);
    asioq::basic_asio_queue queue{context.executor(), in_order(asioq::execution_order::strict)};
    pollfd handle{queue.native_handle(), POLLIN, 0};
    queue.submit(fsync_of(queue, file));
    const auto busy = busy_time();
    const auto start = std::chrono::steady_clock::now();
    const auto loop_until = [&](std::chrono::milliseconds end) {
      while (std::chrono::steady_clock::now() < start + end) {
        if (::poll(&handle, 1, 1000) != 1) return asioq::asio_request();
        if (asioq::asio_request done = queue.try_wait()) return done;
      }
      return asioq::asio_request();
    };
    int wrong = must_hold(!loop_until(500ms), "the request waits for a thread of the kernel's");
    wrong += must_hold(busy_time() - busy < 250ms, "the loop sleeps meanwhile");
    if (!allow_threads(RLIM_INFINITY)) return cannot_be_tried;
    const asioq::asio_request done = loop_until(20s);
    return wrong + must_hold(done && !done.error(), "it succeeds when there are threads again");
  });
}

TEST_CASE("a request that only the kernel may carry out waits until it has threads, and asleep", "[uring][fault]") {
  // A device that can only be read by a thread that blocks, as far as the kernel knows.
  const descriptor device = open_path("/dev/full", O_RDONLY);
  const descriptor file = temp_file();
  check_without_threads([&] {
    asioq::uring_context context(8);
    asioq::basic_asio_queue queue{context.executor(), in_order(asioq::execution_order::as_if_serial)};
    queue.submit(read_of(queue, device, 4));
    queue.submit(fsync_of(queue, file));
    const auto busy = busy_time();
    int wrong = must_hold(!queue.wait_for(500ms), "the first request waits for a thread of the kernel's");
    wrong += must_hold(busy_time() - busy < 100ms, "the owner sleeps meanwhile");
    if (!allow_threads(RLIM_INFINITY)) return cannot_be_tried;
    const asioq::asio_request first = queue.wait();
    wrong += must_hold(!first.error() && text_of(first.data()) == std::string(4, '\0'), "the read succeeds then");
    return wrong + must_hold(!queue.wait().error(), "so does the sync");
  });
}

TEST_CASE("where the kernel would never begin some requests, set-up fails", "[uring][fault]") {
  if (!asioq::uring_context::available()) return;
  const ending end = run_in_child([&] {
    if (!allow_threads(0)) return cannot_be_tried;
    const int error = error_of_set_up();
    return must_hold(error == EAGAIN || error == 0,
                     "the error is EAGAIN");  // before Linux 5.15 the kernel does not tell
  });
  check_ending(end, "cannot be refused threads");
}

TEST_CASE("while the kernel takes no submission, the owner sleeps", "[uring][fault]") {
  if (!asioq::uring_context::available()) return;
  const descriptor file = temp_file();
  const std::uint64_t requests = GENERATE(1U, 3U);  // which fit into the ring, and which do not
  const ending end = run_in_child([&] {
    asioq::uring_context context(1);
    asioq::basic_asio_queue queue{context.executor(), in_order(asioq::execution_order::as_if_serial)};
    if (!forbid_submission()) return cannot_be_tried;
    for (std::uint64_t i = 0; i < requests; ++i) queue.submit(read_of(queue, file, 4, i));
    const auto busy = busy_time();
    const int wrong = must_hold(!queue.wait_for(500ms), "the request waits") +
                      must_hold(busy_time() - busy < 250ms, "the owner sleeps");
    ::_exit(wrong);  // the queue would wait for ever
  });
  check_ending(end, "may not filter system calls");
}
