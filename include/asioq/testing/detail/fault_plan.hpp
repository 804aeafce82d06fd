#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/io_operation.hpp>
#include <asioq/operation.hpp>
#include <asioq/testing/detail/generator.hpp>
#include <asioq/testing/disk_options.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace asioq::testing::detail {

/// What is to go wrong with an operation.
struct fate {
  std::int64_t refusal = 0;  // what it ends with instead of doing anything, if not 0
  std::uint64_t length = 0;  // of a transfer that is cut short, less than asked for
};

/// Decides that, by rates and by number.
class fault_plan {
 public:
  /// Fails the next operation of this kind, or the one after so many `others`.
  void fail_next(asio_op op, int error, std::size_t others) {
    planned_.push_back({op == asio_op::write_back ? asio_op::write : op, error, others});
  }

  /// The fate of an operation that has been started, by rate. Takes as many random numbers for one operation as for
  /// another.
  static fate by_rate(const io_operation& operation, const disk_options& rates, generator& random) noexcept {
    const bool fails = random.happens(rates.errors);
    const bool is_interrupted = random.happens(rates.interruptions);
    const bool is_short = random.happens(rates.short_transfers);
    const std::uint64_t length = operation.length();
    const std::uint64_t less = random.below(length - (length == 0 ? 0 : 1));
    const bool may_be_short = operation.op() != asio_op::read || operation.offset() != current_position;
    fate its{.refusal = 0, .length = length};
    if (is_short && may_be_short && traits_of(operation.op()).transfers && length > 1) {
      const std::uint64_t unit = std::min<std::uint64_t>(rates.direct_alignment, length);
      its.length = std::max(unit, (1 + less) / unit * unit);
    }
    if (is_interrupted && operation.op() != asio_op::close) its.refusal = -EINTR;
    if (fails) its.refusal = -EIO;
    return its;
  }

  /// The same by number: what it ends with, or 0.
  std::int64_t by_number(asio_op op) noexcept {
    const auto planned = std::ranges::find(planned_, op, &planned_failure::op);
    if (planned == planned_.end() || planned->others-- > 0) return 0;
    const int error = planned->error;
    planned_.erase(planned);
    return -error;
  }

 private:
  struct planned_failure {
    asio_op op;
    int error;
    std::size_t others;
  };

  std::vector<planned_failure> planned_;
};

}  // namespace asioq::testing::detail
