#pragma once

/// @file
/// An executor around an executor: errors, short transfers and interruptions.

#include <asioq/asio_op.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/operation.hpp>
#include <asioq/testing/detail/filter.hpp>
#include <asioq/testing/detail/generator.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

namespace asioq::testing {

/// What goes wrong, and how often. Rates are from 0 to 1.
struct fault_options {
  std::uint64_t seed = 1;                 ///< Chooses.
  double errors = 0;                      ///< Fail, and do nothing.
  std::errc error = std::errc::io_error;  ///< What they fail with.
  double short_transfers = 0.125;         ///< Are cut short; not reads at the current position.
  double interruptions = 0.0625;          ///< End with EINTR, and do nothing.
  std::uint64_t unit = 1;                 ///< A transfer is cut at multiples of so many bytes: 4096 for O_DIRECT.
};

/// Makes operations of any `io_executor`, real ones too, fail by a seed: `faults flawed{ring.executor(), {.seed = 7}}`,
/// and a queue on `flawed.executor()`. A close is left alone. Outlives its queues.
///
/// An executor of tasks cannot have a filter like this, because nothing looks into a task. For faults of a thread pool
/// use the faults of the system: limits, /dev/full, a FUSE disk.
template <io_executor Inner>
class faults : public detail::filter<Inner, faults<Inner>> {
  using base = detail::filter<Inner, faults>;

 public:
  /// Goes around `inner`. Throws nothing of its own.
  explicit faults(Inner inner, fault_options options = {})
      : base(std::move(inner)), options_(options), random_(options.seed) {}

 private:
  friend base;

  void arrived(typename base::step& its) {
    const bool fails = random_.happens(options_.errors);
    const bool is_interrupted = random_.happens(options_.interruptions);
    const bool is_short = random_.happens(options_.short_transfers);
    const std::uint64_t unit = std::max<std::uint64_t>(options_.unit, 1);
    const std::uint64_t units = its.length() / unit;
    const std::uint64_t less = unit * (1 + random_.below(units));
    if (its.op() != asio_op::close && (fails || is_interrupted))
      return base::answer(its, -(fails ? static_cast<int>(options_.error) : EINTR));
    const bool may_be_short = its.op() != asio_op::read || its.offset() != current_position;
    if (is_short && may_be_short && traits_of(its.op()).transfers && less < its.length()) its.ask_for(less);
    base::pass(its);
  }

  fault_options options_;
  detail::generator random_;
};

}  // namespace asioq::testing
