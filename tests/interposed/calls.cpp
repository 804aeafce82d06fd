#include "calls.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstddef>

namespace asioq_test {

thread_local long questions_here = 0;
std::atomic<long> questions = 0;
std::atomic<bool> has_handles = true;

namespace {

std::atomic<int> gated = -1;  // a descriptor; -1: none
std::atomic<bool> is_open = true;
std::atomic<int> visitors = 0;

std::atomic<int> counted = -1;  // a descriptor; -1: none
std::atomic<long> counted_reads = 0;
std::atomic<long> counted_writes = 0;

std::atomic<int> scripted = -1;  // a descriptor; -1: none
std::mutex script_mutex;         // protects `script` and `next`
std::vector<int> script;
std::size_t next = 0;
std::atomic<long> sync_calls = 0;
std::atomic<bool> holds = false;
std::atomic<bool> is_held = false;

void asks(int fd) {
  ++questions_here;
  questions.fetch_add(1);
  if (fd != gated.load()) return;
  visitors.fetch_add(1);
  is_open.wait(false);
}

struct description {
  const char* name;
  asioq::asio_op op;  // what ends when it fails
  std::array<int, 6> answers;
};

using asioq::asio_op;

// In the order of `call`. A vectored call that fails ends no request: each then finds out its own error.
constexpr std::array<description, number_of_calls> descriptions{{
    {"pread", asio_op::read, {EIO, ENOMEM, EINTR, cut_short}},
    {"pwrite", asio_op::write, {EIO, ENOSPC, EDQUOT, EINTR, cut_short, no_bytes}},
    {"preadv", asio_op::free, {EIO, EINTR, cut_short}},
    {"pwritev", asio_op::free, {EIO, ENOSPC, EINTR, cut_short, no_bytes}},
    {"read", asio_op::read, {EIO, EINTR, cut_short}},
    {"write", asio_op::write, {EIO, ENOSPC, EINTR, cut_short, no_bytes}},
    {"readv", asio_op::free, {EIO, EINTR, cut_short}},
    {"writev", asio_op::free, {EIO, ENOSPC, EINTR, cut_short, no_bytes}},
    {"fsync", asio_op::fsync, {EIO, ENOSPC, EINTR, EINVAL}},
    {"fdatasync", asio_op::fdatasync, {EIO, EDQUOT, EINTR, EINVAL}},
    {"ftruncate", asio_op::truncate, {EIO, EPERM, EINTR}},
    {"fallocate", asio_op::allocate, {ENOSPC, EOPNOTSUPP, EINTR}},
    {"close", asio_op::close, {EIO, ENOSPC, EINTR}},
    {"fstat", asio_op::free, {EIO, ESTALE}},
    {"fstatfs", asio_op::free, {EIO, ENOSYS}},
    {"statx", asio_op::free, {EIO, ESTALE}},
    {"fcntl", asio_op::free, {EINVAL}},
    {"lseek", asio_op::free, {ESPIPE}},
    {"ioctl", asio_op::free, {EIO, ENOTTY}},
    {"name_to_handle_at", asio_op::free, {EIO, ESTALE}},
    {"eventfd", asio_op::free, {EMFILE, ENFILE, ENOMEM}},
    {"event_read", asio_op::free, {EINTR}},
    {"event_write", asio_op::free, {EINTR}},
    {"poll", asio_op::free, {EINTR, ENOMEM}},
    {"thread", asio_op::free, {EAGAIN}},
}};

const description& description_of(call its) { return descriptions[static_cast<std::size_t>(its)]; }

constexpr int as_ever = 0;

enum class plan : unsigned char { none, one_call, at_random };
std::atomic<plan> planned = plan::none;
call chosen_call{};
int chosen_answer = 0;
std::uint64_t random_seed = 0;
std::uint64_t random_one_in = 1;
std::array<std::atomic<long>, number_of_calls> seen_calls;  // by kind, while anything is planned
std::atomic<std::uint64_t> dice_thrown = 0;
long chosen_number = 0;
std::atomic<long> failed_calls = 0;
std::array<made_failure, 256> failures;
std::atomic<std::size_t> number_of_failures = 0;

std::uint64_t scramble(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

/// What this call answers: an errno value, `cut_short`, `no_bytes` or `as_ever`.
int answer_to(call its, asio_op op, int fd = -1) {
  const plan now = planned.load();
  if (now == plan::none) return as_ever;
  int answer = as_ever;
  const long number = seen_calls[static_cast<std::size_t>(its)].fetch_add(1) + 1;
  if (now == plan::one_call) {
    if (its == chosen_call && number == chosen_number) answer = chosen_answer;
  } else {
    const std::uint64_t dice = scramble(random_seed + dice_thrown.fetch_add(1));
    const std::span<const int> answers = answers_of(its);
    if (dice % random_one_in == 0) answer = answers[(dice >> 32U) % answers.size()];
  }
  if (answer == as_ever) return answer;
  failed_calls.fetch_add(1);
  const bool is_short_read = answer == cut_short && (its == call::read || its == call::readv);
  if (!is_short_read && (op == asio_op::free || answer == EINTR || answer == cut_short)) return answer;
  const std::size_t place = number_of_failures.fetch_add(1);
  if (place < failures.size()) failures[place] = {op, answer == no_bytes ? EIO : answer, fd, is_short_read};
  return answer;
}
int answer_to(call its) { return answer_to(its, description_of(its).op); }

/// Whether the call fails; sets errno then. For calls that transfer nothing.
bool fails(call its, int fd = -1) {
  const int error = answer_to(its, description_of(its).op, fd);
  if (error != as_ever) errno = error;
  return error != as_ever;
}

/// Whether it is no file with contents: a descriptor that another thread or program wakes, which cannot fail as a disk.
bool is_event(int fd) {
  struct stat status{};
  return planned.load() != plan::none && ::syscall(SYS_fstat, fd, &status) == 0 && !S_ISREG(status.st_mode) &&
         !S_ISBLK(status.st_mode) && !S_ISCHR(status.st_mode);
}

/// The length of a transfer; nothing if it fails, with errno set.
std::optional<std::size_t> length_of(call its, std::size_t wanted) {
  switch (const int answer = answer_to(its)) {
    case as_ever:
      return wanted;
    case cut_short:
      return (wanted + 1) / 2;
    case no_bytes:
      return 0;
    default:
      errno = answer;
      return std::nullopt;
  }
}

template <class Transfer>
ssize_t transfer(call its, std::size_t wanted, Transfer carry_out) {
  const std::optional<std::size_t> length = length_of(its, wanted);
  if (!length) return -1;
  return *length == 0 ? 0 : carry_out(*length);
}

/// The same for one of several parts.
template <class Transfer>
ssize_t transfer(call its, const iovec* parts, int count, Transfer carry_out) {
  std::array<iovec, 64> some{};
  std::size_t wanted = 0;
  for (int i = 0; i < count; ++i) wanted += parts[i].iov_len;
  return transfer(its, wanted, [&](std::size_t length) {
    int used = 0;
    for (std::size_t left = length; left > 0; ++used) {
      iovec& part = some[static_cast<std::size_t>(used)];
      part = parts[used];
      part.iov_len = std::min(part.iov_len, left);
      left -= part.iov_len;
    }
    return carry_out(some.data(), used);
  });
}

/// The C library's own, where this executable replaces it.
template <class Function>
Function* original(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

int synchronise(long number, int fd) {
  if (fd == scripted.load()) {
    sync_calls.fetch_add(1);
    if (holds.load()) {
      is_held.store(true);
      is_held.notify_all();
      holds.wait(true);
    }
    const std::lock_guard lock(script_mutex);
    if (next < script.size() && script[next++] != 0) {
      errno = script[next - 1];
      return -1;
    }
  }
  if (fails(number == SYS_fsync ? call::fsync : call::fdatasync, fd)) return -1;
  return static_cast<int>(::syscall(number, fd));
}

}  // namespace

question_gate::question_gate(int fd) {
  visitors.store(0);
  is_open.store(false);
  gated.store(fd);
}
question_gate::~question_gate() { open(); }
void question_gate::open() {
  gated.store(-1);
  is_open.store(true);
  is_open.notify_all();
}
void question_gate::await_visitor() const {
  while (visitors.load() == 0) ::usleep(50);
}

transfer_counter::transfer_counter(int fd) {
  counted_reads.store(0);
  counted_writes.store(0);
  counted.store(fd);
}
transfer_counter::~transfer_counter() { counted.store(-1); }
long transfer_counter::reads() const { return counted_reads.load(); }
long transfer_counter::writes() const { return counted_writes.load(); }

sync_script::sync_script(int fd, std::vector<int> errors) {
  const std::lock_guard lock(script_mutex);
  script = std::move(errors);
  next = 0;
  sync_calls.store(0);
  is_held.store(false);
  scripted.store(fd);
}
sync_script::~sync_script() {
  scripted.store(-1);
  release();
}
long sync_script::calls() const { return sync_calls.load(); }
void sync_script::hold() {
  is_held.store(false);
  holds.store(true);
}
void sync_script::await_held() const { is_held.wait(false); }
void sync_script::release() {
  holds.store(false);
  holds.notify_all();
}

std::string_view name_of(call its) { return description_of(its).name; }
std::optional<call> call_named(std::string_view name) {
  for (std::size_t i = 0; i < descriptions.size(); ++i)
    if (descriptions[i].name == name) return static_cast<call>(i);
  return std::nullopt;
}
std::span<const int> answers_of(call its) {
  const std::array<int, 6>& all = description_of(its).answers;
  return std::span(all).first(static_cast<std::size_t>(std::ranges::find(all, 0) - all.begin()));
}

namespace {

void begin(plan its) {
  for (std::atomic<long>& seen : seen_calls) seen.store(0);
  dice_thrown.store(0);
  failed_calls.store(0);
  number_of_failures.store(0);
  planned.store(its);
}

}  // namespace

failing_calls::failing_calls(call its, long number, int answer) {
  chosen_call = its;
  chosen_number = number;
  chosen_answer = answer;
  begin(plan::one_call);
}
failing_calls::failing_calls(std::uint64_t seed, std::uint64_t one_in) {
  random_seed = scramble(seed);
  random_one_in = one_in;
  begin(plan::at_random);
}
failing_calls::~failing_calls() { stop(); }
void failing_calls::stop() { planned.store(plan::none); }
long failing_calls::seen(call its) const { return seen_calls[static_cast<std::size_t>(its)].load(); }
bool failing_calls::has_failed() const { return failed_calls.load() > 0; }
std::span<const made_failure> failing_calls::made() const {
  return std::span(failures).first(std::min(number_of_failures.load(), failures.size()));
}

}  // namespace asioq_test

using asioq_test::answer_to;
using asioq_test::asks;
using asioq_test::call;
using asioq_test::fails;
using asioq_test::is_event;
using asioq_test::original;
using asioq_test::transfer;

extern "C" {

int fstat(int fd, struct stat* status) noexcept {
  asks(fd);
  if (fails(call::fstat)) return -1;
  return static_cast<int>(::syscall(SYS_fstat, fd, status));
}

int fstatfs(int fd, struct statfs* status) noexcept {
  asks(fd);
  if (fails(call::fstatfs)) return -1;
  return static_cast<int>(::syscall(SYS_fstatfs, fd, status));
}

int statx(int fd, const char* path, int flags, unsigned mask, struct statx* status) noexcept {
  asks(fd);
  if (fails(call::statx)) return -1;
  return static_cast<int>(::syscall(SYS_statx, fd, path, flags, mask, status));
}

off_t lseek(int fd, off_t offset, int whence) noexcept {
  asks(fd);
  if (fails(call::lseek)) return -1;
  return ::syscall(SYS_lseek, fd, offset, whence);
}

int fcntl(int fd, int command, ...) {
  std::va_list arguments;
  va_start(arguments, command);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  asks(fd);
  if (fails(call::fcntl)) return -1;
  return static_cast<int>(::syscall(SYS_fcntl, fd, command, argument));
}

int ioctl(int fd, unsigned long request, ...) noexcept {
  std::va_list arguments;
  va_start(arguments, request);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  asks(fd);
  if (fails(call::ioctl)) return -1;
  return static_cast<int>(::syscall(SYS_ioctl, fd, request, argument));
}

int name_to_handle_at(int fd, const char* name, struct file_handle* handle, int* mount, int flags) noexcept {
  asks(fd);
  if (!asioq_test::has_handles.load()) {
    errno = EOPNOTSUPP;
    return -1;
  }
  if (fails(call::name_to_handle_at)) return -1;
  return static_cast<int>(::syscall(SYS_name_to_handle_at, fd, name, handle, mount, flags));
}

ssize_t read(int fd, void* data, std::size_t length) {
  if (fd == asioq_test::counted.load()) asioq_test::counted_reads.fetch_add(1);
  if (is_event(fd)) return fails(call::event_read) ? -1 : ::syscall(SYS_read, fd, data, length);
  return transfer(call::read, length, [&](std::size_t part) { return ::syscall(SYS_read, fd, data, part); });
}

ssize_t write(int fd, const void* data, std::size_t length) {
  if (fd == asioq_test::counted.load()) asioq_test::counted_writes.fetch_add(1);
  if (is_event(fd)) return fails(call::event_write) ? -1 : ::syscall(SYS_write, fd, data, length);
  return transfer(call::write, length, [&](std::size_t part) { return ::syscall(SYS_write, fd, data, part); });
}

ssize_t pread(int fd, void* data, std::size_t length, off_t place) {
  return transfer(call::pread, length, [&](std::size_t part) { return ::syscall(SYS_pread64, fd, data, part, place); });
}

ssize_t pwrite(int fd, const void* data, std::size_t length, off_t place) {
  return transfer(call::pwrite, length,
                  [&](std::size_t part) { return ::syscall(SYS_pwrite64, fd, data, part, place); });
}

ssize_t readv(int fd, const iovec* parts, int count) {
  return transfer(call::readv, parts, count,
                  [&](const iovec* some, int its) { return ::syscall(SYS_readv, fd, some, its); });
}

ssize_t writev(int fd, const iovec* parts, int count) {
  return transfer(call::writev, parts, count,
                  [&](const iovec* some, int its) { return ::syscall(SYS_writev, fd, some, its); });
}

// The kernel takes an offset as two halves of which, on 64-bit machines, the second means nothing.
ssize_t preadv(int fd, const iovec* parts, int count, off_t place) {
  return transfer(call::preadv, parts, count,
                  [&](const iovec* some, int its) { return ::syscall(SYS_preadv, fd, some, its, place, 0); });
}

ssize_t pwritev(int fd, const iovec* parts, int count, off_t place) {
  return transfer(call::pwritev, parts, count,
                  [&](const iovec* some, int its) { return ::syscall(SYS_pwritev, fd, some, its, place, 0); });
}

int ftruncate(int fd, off_t size) noexcept {
  return fails(call::ftruncate) ? -1 : static_cast<int>(::syscall(SYS_ftruncate, fd, size));
}

int posix_fallocate(int fd, off_t place, off_t length) {
  if (const int error = answer_to(call::fallocate); error != 0) return error;
  static const auto its_own = original<int(int, off_t, off_t)>("posix_fallocate64");
  return its_own(fd, place, length);
}

// As on Linux, one that fails has closed all the same.
int close(int fd) {
  const asioq::asio_op op = is_event(fd) ? asioq::asio_op::free : asioq::asio_op::close;
  const int error = answer_to(call::close, op);
  const auto answer = static_cast<int>(::syscall(SYS_close, fd));
  if (error == 0) return answer;
  errno = error;
  return -1;
}

int eventfd(unsigned value, int flags) noexcept {
  return fails(call::eventfd) ? -1 : static_cast<int>(::syscall(SYS_eventfd2, value, flags));
}

int poll(pollfd* entries, nfds_t count, int timeout) {
  return fails(call::poll) ? -1 : static_cast<int>(::syscall(SYS_poll, entries, count, timeout));
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*), void* argument) noexcept {
  if (const int error = answer_to(call::thread); error != 0) return error;
  static const auto its_own =
      original<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create");
  return its_own(thread, attributes, body, argument);
}

int fsync(int fd) { return asioq_test::synchronise(SYS_fsync, fd); }
int fdatasync(int fd) { return asioq_test::synchronise(SYS_fdatasync, fd); }
}
