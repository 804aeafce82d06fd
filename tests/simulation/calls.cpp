#include "calls.hpp"

#include <asioq/file_offset.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime is POSIX
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

namespace asioq_simulation {

kernel* the_kernel = nullptr;

namespace {

using asioq::asio_op;
constexpr std::uint64_t at_position = asioq::current_position;

bool is_simulated(int fd) noexcept { return fd >= first_fd && the_kernel != nullptr; }

ssize_t answer(std::int64_t outcome) noexcept {
  if (outcome >= 0) return static_cast<ssize_t>(outcome);
  errno = static_cast<int>(-outcome);
  return -1;
}

ssize_t transfer(asio_op op, int fd, void* data, std::size_t length, std::uint64_t offset) noexcept {
  const iovec part{data, length};
  return answer(the_kernel->transfer(op, fd, std::span(&part, 1), offset));
}

ssize_t transfer(asio_op op, int fd, const iovec* parts, int count, std::uint64_t offset) noexcept {
  return answer(the_kernel->transfer(op, fd, {parts, static_cast<std::size_t>(count)}, offset));
}

int perform(asio_op op, int fd, std::size_t length = 0, std::uint64_t offset = at_position) noexcept {
  return static_cast<int>(answer(the_kernel->perform(op, fd, length, offset)));
}

}  // namespace

}  // namespace asioq_simulation

using asioq::asio_op;
using namespace asioq_simulation;

extern "C" {

ssize_t read(int fd, void* data, std::size_t length) {
  if (!is_simulated(fd)) return ::syscall(SYS_read, fd, data, length);
  return transfer(asio_op::read, fd, data, length, at_position);
}

ssize_t write(int fd, const void* data, std::size_t length) {
  if (!is_simulated(fd)) return ::syscall(SYS_write, fd, data, length);
  return transfer(asio_op::write, fd, const_cast<void*>(data), length, at_position);
}

ssize_t pread(int fd, void* data, std::size_t length, off_t offset) {
  if (!is_simulated(fd)) return ::syscall(SYS_pread64, fd, data, length, offset);
  return transfer(asio_op::read, fd, data, length, static_cast<std::uint64_t>(offset));
}

ssize_t pwrite(int fd, const void* data, std::size_t length, off_t offset) {
  if (!is_simulated(fd)) return ::syscall(SYS_pwrite64, fd, data, length, offset);
  return transfer(asio_op::write, fd, const_cast<void*>(data), length, static_cast<std::uint64_t>(offset));
}

ssize_t readv(int fd, const iovec* parts, int count) {
  if (!is_simulated(fd)) return ::syscall(SYS_readv, fd, parts, count);
  return transfer(asio_op::read, fd, parts, count, at_position);
}

ssize_t writev(int fd, const iovec* parts, int count) {
  if (!is_simulated(fd)) return ::syscall(SYS_writev, fd, parts, count);
  return transfer(asio_op::write, fd, parts, count, at_position);
}

ssize_t preadv(int fd, const iovec* parts, int count, off_t offset) {
  if (!is_simulated(fd)) return ::syscall(SYS_preadv, fd, parts, count, offset, 0);
  return transfer(asio_op::read, fd, parts, count, static_cast<std::uint64_t>(offset));
}

ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) {
  if (!is_simulated(fd)) return ::syscall(SYS_pwritev, fd, parts, count, offset, 0);
  return transfer(asio_op::write, fd, parts, count, static_cast<std::uint64_t>(offset));
}

int fsync(int fd) {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_fsync, fd));
  return perform(asio_op::fsync, fd);
}

int fdatasync(int fd) {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_fdatasync, fd));
  return perform(asio_op::fdatasync, fd);
}

int ftruncate(int fd, off_t size) noexcept {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_ftruncate, fd, size));
  return perform(asio_op::truncate, fd, 0, static_cast<std::uint64_t>(size));
}

int posix_fallocate(int fd, off_t offset, off_t length) {
  if (!is_simulated(fd)) return ::syscall(SYS_fallocate, fd, 0, offset, length) == 0 ? 0 : errno;
  return static_cast<int>(-the_kernel->perform(asio_op::allocate, fd, static_cast<std::size_t>(length),
                                               static_cast<std::uint64_t>(offset)));
}

int close(int fd) {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_close, fd));
  return perform(asio_op::close, fd);
}

int fcntl(int fd, int command, ...) {
  std::va_list arguments;
  va_start(arguments, command);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_fcntl, fd, command, argument));
  const auto facts = the_kernel->describe(fd);
  if (!facts || command != F_GETFL) return static_cast<int>(answer(facts ? -EINVAL : -EBADF));
  return O_RDWR | (facts->appends ? O_APPEND : 0);
}

int fstat(int fd, struct stat* status) noexcept {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_newfstatat, fd, "", status, AT_EMPTY_PATH));
  const auto facts = the_kernel->describe(fd);
  if (!facts) return static_cast<int>(answer(-EBADF));
  *status = {};
  status->st_mode = S_IFREG | 0600;
  status->st_dev = facts->identity.volume;
  status->st_ino = facts->identity.file;
  status->st_size = static_cast<off_t>(facts->size);
  return 0;
}

int fstatfs(int fd, struct statfs* status) noexcept {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_fstatfs, fd, status));
  if (!the_kernel->describe(fd)) return static_cast<int>(answer(-EBADF));
  *status = {};
  status->f_type = the_kernel->has_disk() ? 0xef53 : 0x65735546;  // ext4, FUSE
  return 0;
}

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static std::uint64_t now = 1'000'000'000;
  if (clock != CLOCK_MONOTONIC || the_kernel == nullptr)
    return static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  now += 1'000'000;  // far enough for whatever spins to give up at once
  time->tv_sec = static_cast<time_t>(now / 1'000'000'000);
  time->tv_nsec = static_cast<long>(now % 1'000'000'000);
  return 0;
}

}  // extern "C"
