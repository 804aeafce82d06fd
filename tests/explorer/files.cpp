#include "files.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime is POSIX
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <span>
#include <string_view>

#include "fibers.hpp"

namespace asioq_explorer {

simulated_system the_system;

std::size_t next_part(const transfer_plan& plan, std::size_t calls, std::size_t progress, std::size_t length) noexcept {
  const std::size_t limit = calls < plan.most.size() ? plan.most[calls] : transfer_plan::unlimited;
  return std::min({limit, length - progress, plan.fails_at - progress});
}

int call_plan::next() noexcept {
  const std::uint64_t bit = std::uint64_t{1} << (calls++ % 64);
  if ((interrupts & bit) != 0) return EINTR;
  return (fails & bit) != 0 ? EIO : 0;
}

namespace {

bool is_simulated(int fd) noexcept {
  return fd >= first_fd && static_cast<std::size_t>(fd - first_fd) < the_system.descriptors.size();
}

descriptor& at(int fd) noexcept { return the_system.descriptors[static_cast<std::size_t>(fd - first_fd)]; }

ssize_t failure(int error) noexcept {
  errno = error;
  return -1;
}

/// The request to which a part of a call belongs, after a look at whether it may ask for this.
transfer& request_of(operation what, int fd, const iovec& part, std::uint64_t offset) noexcept {
  const auto* const data = static_cast<const std::byte*>(part.iov_base);
  transfer* const request = the_system.its_observer->find(data);
  if (request == nullptr) schedule::found("a transfer for a request that no queue has");
  transfer& its = *request;
  if (its.what != what || its.fd != fd) schedule::found("a transfer that no request asks for");
  if (data != its.buffer + its.progress || part.iov_len != its.length - its.progress)
    schedule::found("a transfer of bytes %td to %td, where %zu of %zu are done", data - its.buffer,
                    data - its.buffer + static_cast<std::ptrdiff_t>(part.iov_len), its.progress, its.length);
  const std::uint64_t wanted = its.offset == at_position ? at_position : its.offset + its.progress;
  if (offset != wanted) schedule::found("a transfer at the wrong place");
  if (its.is_in_kernel) schedule::found("two transfers for one request at a time");
  return its;
}

/// Moves bytes of the one request; returns how many, or an errno value negated.
ssize_t move(operation what, descriptor& where, transfer& its) noexcept {
  if (!where.is_open) return -EBADF;
  std::string& content = the_system.files[where.file].content;
  if (its.length == its.progress) return 0;
  std::size_t part = next_part(its.plan, its.calls, its.progress, its.length);
  if (part == 0) return -EIO;
  std::size_t from = its.offset == at_position ? where.position : static_cast<std::size_t>(its.offset) + its.progress;
  auto* const data = const_cast<std::byte*>(its.buffer) + its.progress;
  if (what == operation::read) {
    part = from < content.size() ? std::min(part, content.size() - from) : 0;
    if (part != 0) std::memcpy(data, content.data() + from, part);
  } else {
    if (where.appends) from = content.size();
    if (content.size() < from + part) content.resize(from + part);
    std::memcpy(content.data() + from, data, part);
  }
  if (its.offset == at_position) where.position = from + part;
  its.progress += part;
  if (part != 0) ++its.calls;
  return static_cast<ssize_t>(part);
}

bool may_end(const void* request) { return the_system.its_observer->may_end(*static_cast<const transfer*>(request)); }

ssize_t transfer_all(operation what, int fd, std::span<const iovec> parts, std::uint64_t offset) noexcept {
  schedule::point(what == operation::read ? "read" : "write");
  std::array<transfer*, 64> requests{};
  std::uint64_t next = offset;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    requests[i] = &request_of(what, fd, parts[i], next);
    if (offset != at_position) next += parts[i].iov_len;
  }
  const std::span<transfer* const> all(requests.data(), parts.size());
  for (transfer* const one : all) one->has_begun = one->is_in_kernel = true;
  the_system.its_observer->call_begins(what, fd, all.front());
  all.front()->is_of_owner = std::string_view(schedule::name()) == "owner";
  schedule::wait("in the kernel", may_end, all.front());
  ssize_t moved = 0;
  if (all.front()->plan.interruptions > 0) {
    --all.front()->plan.interruptions;
    moved = -EINTR;
  } else {
    for (transfer* const one : all) {
      const std::size_t wanted = one->length - one->progress;
      const ssize_t part = move(what, at(fd), *one);
      if (part > 0) moved += part;
      if (part < 0 && moved == 0) moved = part;
      if (part < 0 || static_cast<std::size_t>(part) < wanted) break;
    }
  }
  schedule::point("moved");
  for (transfer* const one : all) one->is_in_kernel = false;
  the_system.its_observer->call_ends(what, fd, all.front());
  schedule::point("out of the kernel");
  return moved < 0 ? failure(static_cast<int>(-moved)) : moved;
}

ssize_t transfer_one(operation what, int fd, const void* data, std::size_t length, std::uint64_t offset) noexcept {
  const iovec part{const_cast<void*>(data), length};
  return transfer_all(what, fd, std::span(&part, 1), offset);
}

std::span<const iovec> span_of(const iovec* parts, int count) noexcept {
  return {parts, static_cast<std::size_t>(count)};
}

/// A call that is no transfer; returns its error.
int perform(operation what, int fd, std::uint64_t offset, std::size_t length) noexcept {
  schedule::point("call");
  the_system.its_observer->call_begins(what, fd, offset, length);
  schedule::point("in the kernel");
  descriptor& where = at(fd);
  simulated_file& file = the_system.files[where.file];
  int error = EBADF;
  if (where.is_open) {
    call_plan& plan = what == operation::sync ? file.syncs : what == operation::close ? where.closes : file.resizes;
    error = plan.next();
    if (what == operation::close) where.is_open = false;
    if (what == operation::truncate && error == 0) truncate(file.content, offset);
    if (what == operation::allocate && error == 0) allocate(file.content, offset, length);
  }
  schedule::point("done");
  the_system.its_observer->call_ends(what, error);
  schedule::point("out of the kernel");
  return error;
}

int perform_or_set_errno(operation what, int fd, std::uint64_t offset = at_position) noexcept {
  const int error = perform(what, fd, offset, 0);
  return error == 0 ? 0 : static_cast<int>(failure(error));
}

}  // namespace
}  // namespace asioq_explorer

// In the place of the C library's.
using namespace asioq_explorer;  // NOLINT(google-build-using-namespace): these are global

extern "C" {

ssize_t read(int fd, void* data, size_t length) {
  if (!is_simulated(fd)) return ::syscall(SYS_read, fd, data, length);
  return transfer_one(operation::read, fd, data, length, at_position);
}

ssize_t write(int fd, const void* data, size_t length) {
  if (!is_simulated(fd)) return ::syscall(SYS_write, fd, data, length);
  return transfer_one(operation::write, fd, data, length, at_position);
}

ssize_t pread(int fd, void* data, size_t length, off_t offset) {
  if (!is_simulated(fd)) return ::syscall(SYS_pread64, fd, data, length, offset);
  return transfer_one(operation::read, fd, data, length, static_cast<std::uint64_t>(offset));
}

ssize_t pwrite(int fd, const void* data, size_t length, off_t offset) {
  if (!is_simulated(fd)) return ::syscall(SYS_pwrite64, fd, data, length, offset);
  return transfer_one(operation::write, fd, data, length, static_cast<std::uint64_t>(offset));
}

ssize_t readv(int fd, const iovec* parts, int count) {
  if (!is_simulated(fd)) return ::syscall(SYS_readv, fd, parts, count);
  return transfer_all(operation::read, fd, span_of(parts, count), at_position);
}

ssize_t writev(int fd, const iovec* parts, int count) {
  if (!is_simulated(fd)) return ::syscall(SYS_writev, fd, parts, count);
  return transfer_all(operation::write, fd, span_of(parts, count), at_position);
}

ssize_t preadv(int fd, const iovec* parts, int count, off_t offset) {
  if (!is_simulated(fd)) return ::syscall(SYS_preadv, fd, parts, count, offset, 0);
  return transfer_all(operation::read, fd, span_of(parts, count), static_cast<std::uint64_t>(offset));
}

ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) {
  if (!is_simulated(fd)) return ::syscall(SYS_pwritev, fd, parts, count, offset, 0);
  return transfer_all(operation::write, fd, span_of(parts, count), static_cast<std::uint64_t>(offset));
}

int fsync(int fd) {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_fsync, fd));
  return perform_or_set_errno(operation::sync, fd);
}

int fdatasync(int fd) {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_fdatasync, fd));
  return perform_or_set_errno(operation::sync, fd);
}

int ftruncate(int fd, off_t size) noexcept {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_ftruncate, fd, size));
  return perform_or_set_errno(operation::truncate, fd, static_cast<std::uint64_t>(size));
}

int posix_fallocate(int fd, off_t offset, off_t length) {
  if (!is_simulated(fd)) return ::syscall(SYS_fallocate, fd, 0, offset, length) == 0 ? 0 : errno;
  return perform(operation::allocate, fd, static_cast<std::uint64_t>(offset), static_cast<std::size_t>(length));
}

int close(int fd) {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_close, fd));
  return perform_or_set_errno(operation::close, fd);
}

int fcntl(int fd, int command, ...) {
  std::va_list arguments;
  va_start(arguments, command);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_fcntl, fd, command, argument));
  schedule::point("fcntl");
  if (!at(fd).is_open) return static_cast<int>(failure(EBADF));
  if (command != F_GETFL) return static_cast<int>(failure(EINVAL));
  return O_RDWR | (at(fd).appends ? O_APPEND : 0);
}

int fstat(int fd, struct stat* status) noexcept {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_newfstatat, fd, "", status, AT_EMPTY_PATH));
  schedule::point("fstat");
  if (!at(fd).is_open) return static_cast<int>(failure(EBADF));
  const descriptor& its = at(fd);
  const std::size_t size = the_system.files[its.file].content.size();
  *status = {};
  status->st_mode = S_IFREG | 0600;
  status->st_dev = 1;
  status->st_ino = 1 + its.file;
  status->st_size = static_cast<off_t>(size);
  status->st_blocks = size != 0 ? 8 : 0;
  status->st_blksize = 4096;
  return 0;
}

int fstatfs(int fd, struct statfs* status) noexcept {
  if (!is_simulated(fd)) return static_cast<int>(::syscall(SYS_fstatfs, fd, status));
  schedule::point("fstatfs");
  if (!at(fd).is_open) return static_cast<int>(failure(EBADF));
  *status = {};
  status->f_type = the_system.can_merge ? 0xef53 : 0x65735546;  // ext4, FUSE
  status->f_bsize = 4096;
  return 0;
}

off_t lseek(int fd, off_t offset, int whence) noexcept {
  if (!is_simulated(fd)) return ::syscall(SYS_lseek, fd, offset, whence);
  schedule::point("lseek");
  if (!at(fd).is_open) return failure(EBADF);
  descriptor& its = at(fd);
  if (whence != SEEK_CUR || offset != 0) return failure(EINVAL);
  return static_cast<off_t>(its.position);
}

int sched_yield() noexcept {
  if (!schedule::is_running()) return static_cast<int>(::syscall(SYS_sched_yield));
  schedule::yield();
  return 0;
}

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  if (clock != CLOCK_MONOTONIC || !schedule::is_running())
    return static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  const std::uint64_t now = schedule::now();
  time->tv_sec = static_cast<time_t>(now / 1'000'000'000);
  time->tv_nsec = static_cast<long>(now % 1'000'000'000);
  return 0;
}

}  // extern "C"
