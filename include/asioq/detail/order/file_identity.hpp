#pragma once

#include <asioq/file_facts.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace asioq::detail {

/// In the place of an identity, where the kernel does not tell it now, as a server that is out of reach may have it. It
/// stands for any file.
inline constexpr file_identity unknown_file{
    .volume = ~std::uint64_t{0}, .file = ~std::uint64_t{0}, .generation = ~std::uint64_t{0}};

/// In the place of a generation, likewise.
inline constexpr std::uint64_t unknown_generation = unknown_file.generation;

constexpr bool is_unknown(const file_identity& its) noexcept {
  return its.volume == unknown_file.volume && its.file == unknown_file.file;
}

/// Whether two identities are of the same file, as far as they are known.
constexpr bool may_be_same(const file_identity& first, const file_identity& second) noexcept {
  if (is_unknown(first) || is_unknown(second)) return true;
  if (first.volume != second.volume || first.file != second.file) return false;
  return first.generation == second.generation || first.generation == unknown_generation ||
         second.generation == unknown_generation;
}

/// Whether it is a file system whose regular files have no contents of their own: what one file shows may depend on
/// what was written to another. Source: linux/magic.h.
inline bool is_pseudo_file_system(std::uint64_t magic) noexcept {
  constexpr std::array<std::uint64_t, 16> known = {0x9fa0,       // proc
                                                   0x62656572,   // sysfs
                                                   0x27e0eb,     // cgroup
                                                   0x63677270,   // cgroup2
                                                   0x64626720,   // debugfs
                                                   0x74726163,   // tracefs
                                                   0x73636673,   // securityfs
                                                   0xf97cff8c,   // selinuxfs
                                                   0x43415d53,   // smackfs
                                                   0x62656570,   // configfs
                                                   0xcafe4a11,   // bpf
                                                   0x6165676c,   // pstore
                                                   0xde5e81e4,   // efivarfs
                                                   0x42494e4d,   // binfmt_misc
                                                   0x1cd1,       // devpts
                                                   0x19800202};  // mqueue
  return std::ranges::find(known, magic) != known.end();
}

/// The kernel's number for the kind of the file's file system; 0 if it does not say.
inline std::uint64_t file_system_of(int fd) noexcept {
  struct statfs status;
  return ::fstatfs(fd, &status) == 0 ? static_cast<std::uint64_t>(status.f_type) & 0xffffffffU : 0;
}

/// Asks the kernel for the facts of a descriptor. On a slow server that may take seconds, so the caller holds no lock.
///
/// Regular files of a real file system, disks and pipes are told apart. All others count as one and the same stream,
/// because no number shows which sockets, terminals, other devices or files of proc are connected. So does a number
/// that means no file. If the kernel does not tell, it is `unknown_file`.
inline file_facts facts_of(int fd) noexcept {
  constexpr file_identity odd{.volume = ~std::uint64_t{0}, .file = 0, .generation = 0};
  file_facts facts{.identity = odd, .is_stream = true, .appends = false, .size = file_facts::unlimited};
  struct stat status;
  if (::fstat(fd, &status) != 0) {
    if (errno != EBADF) facts.identity = unknown_file;
    return facts;
  }
  const int flags = ::fcntl(fd, F_GETFL);
  facts.appends = flags >= 0 && (flags & O_APPEND) != 0;
  if (S_ISBLK(status.st_mode)) {
    // A disk is the same through whichever of its nodes it was opened. No file has the inode 0.
    facts.identity = {.volume = status.st_rdev, .file = 0, .generation = 0};
    facts.is_stream = false;
  } else if (S_ISFIFO(status.st_mode)) {
    facts.identity = {.volume = status.st_dev, .file = status.st_ino, .generation = 0};
  } else if (S_ISREG(status.st_mode) && !is_pseudo_file_system(file_system_of(fd))) {
    facts.identity = {.volume = status.st_dev, .file = status.st_ino, .generation = 0};
    facts.is_stream = false;
    facts.size = static_cast<std::uint64_t>(status.st_size);
  }
  return facts;
}

/// When the file was made, in nanoseconds; 0 if the file system does not say; `unknown_generation` if it does not say
/// now. Source: statx(2).
inline std::uint64_t birth_of([[maybe_unused]] int fd) noexcept {
#ifdef STATX_BTIME
  struct statx status;
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &status) != 0) return errno == ENOSYS ? 0 : unknown_generation;
  if ((status.stx_mask & STATX_BTIME) == 0) return 0;
  return static_cast<std::uint64_t>(status.stx_btime.tv_sec) * 1'000'000'000U + status.stx_btime.tv_nsec;
#else
  return 0;
#endif
}

/// What tells the file from a later one with the same inode number: its file handle or, where the file system hands out
/// none (overlayfs for one), when it was made; 0 if it has neither; `unknown_generation` if the kernel does not tell
/// now. Source: name_to_handle_at(2).
inline std::uint64_t generation_of(int fd) noexcept {
#ifdef MAX_HANDLE_SZ
  std::uint64_t generation = 0;
  alignas(::file_handle) std::array<std::byte, sizeof(::file_handle) + MAX_HANDLE_SZ> place{};
  auto* const handle = reinterpret_cast<::file_handle*>(place.data());
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (::name_to_handle_at(fd, "", handle, &mount, AT_EMPTY_PATH) != 0) {
    // These do not change; another error may be gone the next time, and the answer must not be another then.
    const bool has_none = errno == EOPNOTSUPP || errno == EOVERFLOW || errno == ENOSYS || errno == EPERM;
    return has_none ? birth_of(fd) : unknown_generation;
  }
  for (unsigned i = 0; i < handle->handle_bytes; ++i)  // FNV-1a
    generation = (generation ^ std::to_integer<std::uint64_t>(place[sizeof(::file_handle) + i])) * 0x100000001b3U + 1;
  return generation;
#else
  return birth_of(fd);
#endif
}

}  // namespace asioq::detail
