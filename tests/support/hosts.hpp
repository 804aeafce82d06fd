// What a faulted_run runs on, and in which manners.
#pragma once

#include <asioq/asioq.hpp>
#ifdef ASIOQ_TEST_URING
#include <asioq/uring.hpp>
#endif

#include <array>
#include <cstddef>
#include <string>

#include "executors.hpp"
#include "faulted_run.hpp"

namespace asioq_test {

struct inline_host {
  [[nodiscard]] static asioq::inline_executor executor() { return {}; }
};

/// The owner carries out everything, so the calls of a run are always the same.
struct stuck_host {
  pumped_sink sink;
  [[nodiscard]] custom_executor executor() { return {&sink}; }
};

struct pool_host {
  asioq::thread_pool pool{2};
  [[nodiscard]] asioq::thread_pool::executor_type executor() { return pool.executor(); }
};

struct default_host {
  asioq::default_executor pool;
  [[nodiscard]] asioq::default_executor executor() const { return pool; }
};

#ifdef ASIOQ_TEST_URING
struct uring_host {
  asioq::uring_context context{4};
  [[nodiscard]] asioq::uring_context::executor_type executor() { return context.executor(); }
};

struct uring_or_pool_host {
  asioq::uring_or_pool context{4};
  [[nodiscard]] asioq::uring_or_pool::executor_type executor() { return context.executor(); }
};
#endif

/// Calls `body` with each manner.
template <class Body>
void in_every_manner(Body body, bool fills_disk = false) {
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial})
    for (const auto policy : {asioq::failure_policy::proceed, asioq::failure_policy::hold})
      for (const collecting way : all_ways_of_collecting) body(run_manner{order, policy, way, fills_disk});
}

}  // namespace asioq_test
