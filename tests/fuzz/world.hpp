// What the queues of a program run on: a simulated disk, and filters around it.
#pragma once

#include <asioq/asioq.hpp>
#include <asioq/testing/delay.hpp>
#include <asioq/testing/faults.hpp>
#include <asioq/testing/simulated_disk.hpp>
#include <asioq/testing/trace.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <variant>

#include "../support/counting_allocator.hpp"
#include "check.hpp"

namespace asioq_fuzz {

using asioq::testing::simulated_disk;
using disk_executor = simulated_disk::executor_type;
using flawed_disk = asioq::testing::faults<disk_executor>;
using slow_flawed_disk = asioq::testing::delay<flawed_disk::executor_type>;
using traced_disk = asioq::testing::trace<disk_executor>;
using any_disk = std::variant<disk_executor, flawed_disk::executor_type, slow_flawed_disk::executor_type,
                              traced_disk::executor_type>;
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
        traced_(disk.executor(), recorded_, [&disk] { return disk.now(); }) {}

  [[nodiscard]] any_disk executor() {
    switch (which_) {
      case 1:
        return flawed_.executor();
      case 2:
        return slow_.executor();
      case 3:
        return traced_.executor();
      default:
        return disk_;
    }
  }

  /// Whether the filter itself makes operations fail.
  [[nodiscard]] bool has_faults() const { return which_ == 1 || which_ == 2; }

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
};

}  // namespace asioq_fuzz
