#include "calls.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

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

}  // namespace asioq_test

using asioq_test::asks;

extern "C" {

int fstat(int fd, struct stat* status) noexcept {
  asks(fd);
  return static_cast<int>(::syscall(SYS_fstat, fd, status));
}

int fstatfs(int fd, struct statfs* status) noexcept {
  asks(fd);
  return static_cast<int>(::syscall(SYS_fstatfs, fd, status));
}

int statx(int fd, const char* path, int flags, unsigned mask, struct statx* status) noexcept {
  asks(fd);
  return static_cast<int>(::syscall(SYS_statx, fd, path, flags, mask, status));
}

off_t lseek(int fd, off_t offset, int whence) noexcept {
  asks(fd);
  return ::syscall(SYS_lseek, fd, offset, whence);
}

int fcntl(int fd, int command, ...) {
  std::va_list arguments;
  va_start(arguments, command);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  asks(fd);
  return static_cast<int>(::syscall(SYS_fcntl, fd, command, argument));
}

int ioctl(int fd, unsigned long request, ...) noexcept {
  std::va_list arguments;
  va_start(arguments, request);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  asks(fd);
  return static_cast<int>(::syscall(SYS_ioctl, fd, request, argument));
}

int name_to_handle_at(int fd, const char* name, struct file_handle* handle, int* mount, int flags) noexcept {
  asks(fd);
  if (!asioq_test::has_handles.load()) {
    errno = EOPNOTSUPP;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_name_to_handle_at, fd, name, handle, mount, flags));
}

ssize_t read(int fd, void* data, std::size_t length) {
  if (fd == asioq_test::counted.load()) asioq_test::counted_reads.fetch_add(1);
  return ::syscall(SYS_read, fd, data, length);
}

ssize_t write(int fd, const void* data, std::size_t length) {
  if (fd == asioq_test::counted.load()) asioq_test::counted_writes.fetch_add(1);
  return ::syscall(SYS_write, fd, data, length);
}

int fsync(int fd) { return asioq_test::synchronise(SYS_fsync, fd); }
int fdatasync(int fd) { return asioq_test::synchronise(SYS_fdatasync, fd); }
}
