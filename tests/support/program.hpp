// What a queue is told to do in a random program.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "playground.hpp"

namespace asioq_test {

/// A part of a regular file that cannot be read, or not be written.
struct bad_sector {
  playground::file file;
  bool for_writes;
  std::uint64_t begin;
  std::uint64_t end;
};

struct program {
  struct step {
    enum class pause { none, collect_one, collect_if_any, sync };

    pause before = pause::none;
    bool refused = false;  // the first time it is submitted, where the executor can
    asioq::asio_op op = asioq::asio_op::free;
    std::size_t target = 0;
    std::size_t length = 0;
    std::uint64_t offset = 0;
    std::size_t first = 0;  // of the buffer, what is transferred
  };

  std::uint64_t seed = 0;  // of all that is decided while it runs
  std::size_t buffer_size = 1;
  std::size_t max_writebacks = 1;
  std::size_t max_in_flight = 1;
  asioq::failure_policy on_failure = asioq::failure_policy::proceed;
  std::array<std::size_t, playground::regular_files> sizes{};  // of the files at the beginning
  std::size_t size_limit = 0;                                  // RLIMIT_FSIZE; 0: none
  std::vector<bad_sector> bad_sectors;                         // of simulated disks
  bool syncs_fail = false;                                     // on simulated disks, now and then
  bool syncs_are_passed = false;                               // they have no barrier, and do not fail
  std::vector<step> steps;

  [[nodiscard]] asioq::queue_options options() const {
    return {.buffer_size = buffer_size,
            .max_writebacks = max_writebacks,
            .order = asioq::execution_order::as_if_serial,
            .max_in_flight = max_in_flight,
            .on_failure = on_failure,
            .on_lost_failure = [](asioq::asio_request&) {}};
  }

  [[nodiscard]] asioq::sync_barrier barrier() const {
    return syncs_are_passed ? asioq::sync_barrier::none : asioq::sync_barrier::full;
  }

  /// Of the strict run.
  [[nodiscard]] asioq::queue_options strict_options() const {
    asioq::queue_options its = options();
    its.order = asioq::execution_order::strict;
    its.on_failure = asioq::failure_policy::proceed;
    return its;
  }
};

/// What the executors of a program can do.
struct abilities {
  bool size_limit = true;        // heeds RLIMIT_FSIZE
  bool pipes_by_offset = true;   // answers offsets on a pipe as pread(2) does
  bool simulated_faults = true;  // see faulty_disk
  bool empty_pipes = true;       // answers EAGAIN for an empty pipe with O_NONBLOCK, rather than wait
};

}  // namespace asioq_test
