// Files that are not: what the system calls of a program find behind descriptors from `first_fd` on. All other
// descriptors are the kernel's. Each call is a few points of the schedule and takes effect at one of them.
//
// How the transfers of a request go (short, interrupted, failing) is part of the request: so a serial run, whose calls
// are others, comes to the same results.
#pragma once

#include <asioq/file_offset.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace asioq_explorer {

constexpr int first_fd = 1'000'000;
constexpr std::uint64_t at_position = asioq::current_position;

enum class operation { read, write, sync, truncate, allocate, close };

/// Whether it moves bytes between a buffer and the file. The others concern the whole file or its descriptor, and are
/// told apart by their arguments.
constexpr bool is_transfer(operation what) noexcept { return what == operation::read || what == operation::write; }

/// What the kernel does with calls that are no transfers. Those of one file or descriptor come in the same order in
/// each run, so they are told apart by their number.
struct call_plan {
  std::uint64_t fails = 0;       // bit n: the call number n ends with EIO before it has done anything
  std::uint64_t interrupts = 0;  // with EINTR, in the same way
  unsigned calls = 0;

  /// The error of the next call.
  int next() noexcept;
};

/// What the kernel does with the transfers of a request.
struct transfer_plan {
  static constexpr std::size_t unlimited = ~std::size_t{0};

  std::array<std::size_t, 2> most{unlimited,
                                  unlimited};  // bytes of the first calls that move any, but for interrupted ones
  unsigned interruptions = 0;                  // calls that end before they have done anything
  std::size_t fails_at = unlimited;            // from this byte on, with EIO
};

/// A request that a queue has, as the files see it.
struct transfer {
  operation what = operation::read;
  int fd = -1;
  std::uint64_t offset = at_position;
  std::size_t length = 0;
  transfer_plan plan;
  const std::byte* buffer = nullptr;

  std::size_t progress = 0;  // bytes moved
  std::size_t calls = 0;     // that have moved any
  bool has_begun = false;
  bool is_in_kernel = false;
  bool is_of_owner = false;  // the last call is the owner's
};

/// Whom the files tell of what happens.
class observer {
 public:
  /// The request whose buffer contains this byte; null if no queue has it.
  virtual transfer* find(const std::byte* data) = 0;
  /// A call for a transfer begins or ends; `request` is the first of those it is for.
  virtual void call_begins(operation what, int fd, transfer* request) = 0;
  /// Whether the kernel is done with the call.
  [[nodiscard]] virtual bool may_end(const transfer& request) const = 0;
  virtual void call_ends(operation what, int fd, transfer* request) = 0;
  /// Another call begins or ends.
  virtual void call_begins(operation what, int fd, std::uint64_t offset, std::size_t length) = 0;
  virtual void call_ends(operation what, int error) = 0;

 protected:
  ~observer() = default;
};

/// A file, and a descriptor of one.
struct simulated_file {
  std::string content;
  call_plan syncs;
  call_plan resizes;
};

/// What truncate and allocate do.
inline void truncate(std::string& content, std::uint64_t size) { content.resize(static_cast<std::size_t>(size)); }
inline void allocate(std::string& content, std::uint64_t offset, std::size_t length) {
  const std::size_t end = static_cast<std::size_t>(offset) + length;
  if (content.size() < end) content.resize(end);
}

struct descriptor {
  std::size_t file = 0;
  bool appends = false;
  std::size_t position = 0;
  bool is_open = true;
  call_plan closes;  // after an error it is closed all the same
};

/// All there is; of the current program.
struct simulated_system {
  std::vector<simulated_file> files;
  std::vector<descriptor> descriptors;  // from first_fd on
  bool can_merge = true;                // whether the files look as if they were on a disk
  observer* its_observer = nullptr;
};
extern simulated_system the_system;

/// Where the requests of a transfer go: how many bytes the next call moves at most; 0 if it fails instead.
std::size_t next_part(const transfer_plan& plan, std::size_t calls, std::size_t progress, std::size_t length) noexcept;

}  // namespace asioq_explorer
