// Runs the body of a test once on every executor, each in a section of its own.
#pragma once

#include <asioq/asioq.hpp>

#include <string>
#include <thread>

#include "catch.hpp"
#include "executors.hpp"
#include "io_engines.hpp"
#include "seed.hpp"

namespace asioq_test {

/// An executor and what a test must know of it.
template <class Executor>
struct world {
  Executor executor;
  pumped_sink* pump = nullptr;  // what a test may have to run by hand
  bool has_threads = true;      // false: requests run only inside calls of the test's own thread
  asioq::execution_order order = asioq::execution_order::strict;
  bool is_kernel = false;  // requests run in the kernel, without a thread of this program
  bool is_single = false;  // there is one thread that carries out requests
  bool is_stuck = false;   // requests run only inside calls of the test's own thread that wait for them

  [[nodiscard]] auto queue(asioq::queue_options options = {}) const {
    options.order = order;
    return asioq::basic_asio_queue<Executor>{executor, std::move(options)};
  }
  template <class Allocator>
  [[nodiscard]] auto queue(asioq::queue_options options, const Allocator& allocator) const {
    options.order = order;
    return asioq::basic_asio_queue<Executor, Allocator>{executor, std::move(options), allocator};
  }

  /// Whether a request may wait for something while the test's own thread does not wait for the request.
  [[nodiscard]] bool runs_by_itself() const { return has_threads || is_kernel; }

  /// Called while polling: lets the executor go on.
  void nudge() const {
    if (pump != nullptr) {
      pump->run_all();
    } else {
      std::this_thread::yield();
    }
  }
};

/// Hands tasks to another executor whose type is hidden, so that each case is compiled once for all of them. (A queue
/// itself forgets the type too: see executor_reference.)
template <asioq::executor Executor>
class forwarding_sink : public task_sink {
 public:
  explicit forwarding_sink(Executor executor) : executor_(executor) {}
  void execute(asioq::task work) override { executor_.execute(work); }

 private:
  Executor executor_;
};

/// Strict order, and as if serial.
template <class Body>
void in_every_order(Body body) {
  SECTION("in strict order") { body(asioq::execution_order::strict); }
  SECTION("as if serial") { body(asioq::execution_order::as_if_serial); }
}

template <class Body>
void on_threaded_executors(asioq::execution_order order, Body body) {
  for (const std::size_t threads : {1U, 2U, 8U}) {
    DYNAMIC_SECTION("on a pool of " << threads) {
      asioq::thread_pool pool{threads};
      forwarding_sink sink{pool.executor()};
      body(world<custom_executor>{.executor = {&sink}, .order = order, .is_single = threads == 1});
    }
  }
  SECTION("on an executor that delays and reorders") {
    reordering_sink sink{run_seed()};
    INFO("seed " << run_seed());
    body(world<custom_executor>{.executor = {&sink}, .order = order});
  }
  SECTION("on a thread for each task") {
    thread_per_task_sink sink;
    body(world<custom_executor>{.executor = {&sink}, .order = order});
  }
}

template <class Body>
void on_threadless_executors(asioq::execution_order order, Body body) {
  SECTION("on the inline executor") {
    forwarding_sink sink{asioq::inline_executor{}};
    body(world<custom_executor>{.executor = {&sink}, .has_threads = false, .order = order});
  }
  SECTION("on an executor that is pumped by hand") {
    pumped_sink sink;
    body(world<custom_executor>{.executor = {&sink}, .pump = &sink, .has_threads = false, .order = order});
  }
  SECTION("on an executor that runs nothing before the queue is gone") {
    pumped_sink sink;
    body(world<custom_executor>{.executor = {&sink}, .has_threads = false, .order = order, .is_stuck = true});
  }
}

#ifdef ASIOQ_TEST_URING
inline world<any_io_executor> world_on(io_engine_base& engine, asioq::execution_order order) {
  return {.executor = any_io_executor(engine), .has_threads = false, .order = order, .is_kernel = true};
}

/// On io_uring in every order, where there is one.
template <class Body>
void on_io_uring(Body body) {
  if (!asioq::uring_context::available()) {
    WARN("skipped: io_uring is not to be had");
    return;
  }
  in_every_order([&](asioq::execution_order order) {
    uring_engine engine;
    body(world_on(engine, order));
  });
}
#endif

/// Executors that carry out the requests themselves.
template <class Body>
void on_io_executors(asioq::execution_order order, Body body) {
  SECTION("on a simulated disk") {
    simulated_disk disk{run_seed()};
    INFO("seed " << run_seed());
    body(world<any_io_executor>{.executor = any_io_executor(disk), .has_threads = false, .order = order});
  }
#ifdef ASIOQ_TEST_URING
  if (asioq::uring_context::available()) {
    SECTION("on io_uring") {
      uring_engine engine;
      body(world_on(engine, order));
    }
    SECTION("on io_uring with faults") {
      flawed_uring_engine engine{run_seed()};
      INFO("seed " << run_seed());
      body(world_on(engine, order));
    }
  }
#endif
}

/// Those that run requests without the help of the test's own thread.
template <class Body>
void on_every_threaded_executor(Body body) {
  in_every_order([&](asioq::execution_order order) { on_threaded_executors(order, body); });
}

/// Those that run tasks: where the subject is what the threads do.
template <class Body>
void on_every_task_executor(Body body) {
  in_every_order([&](asioq::execution_order order) {
    on_threaded_executors(order, body);
    on_threadless_executors(order, body);
  });
}

/// All, but in strict order only: where the subject is what has not been started.
template <class Body>
void on_every_executor_in_strict_order(Body body) {
  const auto order = asioq::execution_order::strict;
  on_threaded_executors(order, body);
  on_threadless_executors(order, body);
  on_io_executors(order, body);
}

/// All. `body` takes a `const auto&`: the world.
template <class Body>
void on_every_executor(Body body) {
  in_every_order([&](asioq::execution_order order) {
    on_threaded_executors(order, body);
    on_threadless_executors(order, body);
    on_io_executors(order, body);
  });
}

}  // namespace asioq_test
