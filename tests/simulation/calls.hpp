// The system calls of this executable: those about descriptors from `first_fd` on are answered by `the_kernel`, all
// others by the system. Time stands still but for the calls that look at it.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/file_facts.hpp>

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace asioq_simulation {

constexpr int first_fd = 1'000'000;  // as of a simulated disk

class kernel {
 public:
  /// Each returns a number of bytes, or an errno value negated.
  virtual std::int64_t transfer(asioq::asio_op op, int fd, std::span<const iovec> parts, std::uint64_t offset) = 0;
  virtual std::int64_t perform(asioq::asio_op op, int fd, std::size_t length, std::uint64_t offset) = 0;
  /// None if the descriptor is not open.
  virtual std::optional<asioq::file_facts> describe(int fd) = 0;
  /// Whether the files look as if they were on a disk, so that small transfers may leave as one call.
  [[nodiscard]] virtual bool has_disk() const = 0;

 protected:
  ~kernel() = default;
};

/// Null: there are no such descriptors.
extern kernel* the_kernel;

}  // namespace asioq_simulation
