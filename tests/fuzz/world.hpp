// What the queues of a program run on: a simulated disk, and filters around it.
#pragma once

#include <asioq/asioq.hpp>
#include <asioq/testing/delay.hpp>
#include <asioq/testing/faults.hpp>
#include <asioq/testing/simulated_disk.hpp>
#include <asioq/testing/trace.hpp>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <system_error>
#include <variant>

#include "../support/counting_allocator.hpp"
#include "check.hpp"

namespace asioq_fuzz {

using asioq::testing::simulated_disk;
using disk_executor = simulated_disk::executor_type;
using flawed_disk = asioq::testing::faults<disk_executor>;
using slow_flawed_disk = asioq::testing::delay<flawed_disk::executor_type>;
using traced_disk = asioq::testing::trace<disk_executor>;

/// What an engine throws that refuses. A disk never fails with this error.
struct refusal : std::system_error {
  refusal() : std::system_error(std::make_error_code(std::errc::not_enough_memory), "refused") {}
};

/// Refuses when it is told to, as an engine may that has no memory.
class refusing_disk {
 public:
  class executor_type {
   public:
    explicit executor_type(refusing_disk& its) noexcept : its_(&its) {}
    void start(asioq::io_operation& operation) const {
      its_->may_refuse(its_->starts_);
      its_->inner_.start(operation);
    }
    void poll() const {
      its_->may_refuse(its_->turns_);
      its_->inner_.poll();
    }
    void wait_until(std::chrono::steady_clock::time_point deadline) const {
      its_->may_refuse(its_->turns_);
      its_->inner_.wait_until(deadline);
    }
    [[nodiscard]] asioq::file_facts describe(int fd) const noexcept { return its_->inner_.describe(fd); }
    void cancel(asioq::io_operation& operation) const noexcept { its_->inner_.cancel(operation); }
    [[nodiscard]] int native_handle() const { return its_->inner_.native_handle(); }
    void keep_readable(bool on) const noexcept { its_->inner_.keep_readable(on); }
    bool operator==(const executor_type&) const = default;

   private:
    refusing_disk* its_;
  };

  explicit refusing_disk(disk_executor inner) : inner_(inner) {}

  /// So many operations, and so many calls that complete some, from now on.
  void refuse(std::size_t starts, std::size_t turns) {
    starts_ = starts;
    turns_ = turns;
  }

 private:
  static void may_refuse(std::size_t& left) {
    if (left == 0) return;
    --left;
    throw refusal();
  }

  disk_executor inner_;
  std::size_t starts_ = 0;
  std::size_t turns_ = 0;
};

using any_disk = std::variant<disk_executor, flawed_disk::executor_type, slow_flawed_disk::executor_type,
                              traced_disk::executor_type, refusing_disk::executor_type>;
using fuzzed_queue = asioq::basic_asio_queue<any_disk, asioq_test::counting_allocator<std::byte>>;

/// The filters of one queue.
class filters {
 public:
  filters(simulated_disk& disk, std::size_t which, const asioq::testing::fault_options& faults)
      : which_(which),
        disk_(disk.executor()),
        flawed_(disk.executor(), faults),
        // Held back for no time at all, so that the run does not depend on the clock.
        slow_(flawed_.executor(), {.shortest = std::chrono::nanoseconds{0}, .seed = faults.seed}),
        traced_(disk.executor(), recorded_, [&disk] { return disk.now(); }),
        refusing_(disk.executor()) {}

  [[nodiscard]] any_disk executor() {
    switch (which_) {
      case 1:
        return flawed_.executor();
      case 2:
        return slow_.executor();
      case 3:
        return traced_.executor();
      case 4:
        return refusing_disk::executor_type(refusing_);
      default:
        return disk_;
    }
  }

  /// The error that the filter itself makes, 0 if none.
  [[nodiscard]] int error() const {
    if (which_ == 4) return ENOMEM;
    return which_ == 1 || which_ == 2 ? ENXIO : 0;
  }

  /// See `refusing_disk`; without effect where there is another filter.
  void refuse(std::size_t starts, std::size_t turns) { refusing_.refuse(starts, turns); }

  /// What is traced must be JSON from the first event on.
  void check_trace() const {
    const std::string text = recorded_.str();
    must(text.empty() || text.starts_with("[\n{\"name\":"), "a trace does not begin as one");
    must(text.empty() || text.ends_with("}}"), "an event of a trace does not end");
  }

 private:
  std::size_t which_;
  disk_executor disk_;
  flawed_disk flawed_;
  slow_flawed_disk slow_;
  std::ostringstream recorded_;
  traced_disk traced_;
  refusing_disk refusing_;
};

}  // namespace asioq_fuzz
