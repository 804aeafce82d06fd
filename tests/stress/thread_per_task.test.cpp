// The tests' own executor, which must not need more threads than a small machine has.
#include <atomic>
#include <system_error>

#include "catch.hpp"
#include "child.hpp"
#include "executors.hpp"
#include "threads.hpp"

using namespace asioq_test;

namespace {

/// Tasks that do not end before the gate is open.
struct gate {
  std::atomic<bool> open = false;  // the test's thread, once
  std::atomic<int> passed = 0;     // the tasks

  [[nodiscard]] asioq::task task() {
    return asioq::task(
        [](void* context) noexcept {
          auto& its = *static_cast<gate*>(context);
          its.open.wait(false);
          ++its.passed;
        },
        this);
  }
  void open_wide() {
    open = true;
    open.notify_all();
  }
};

}  // namespace

TEST_CASE("a thread for each task has a bound, and execute does not wait", "[executor][thread]") {
  const std::size_t before = thread_count();
  gate here;
  {
    thread_per_task_sink sink;
    for (int i = 0; i < 500; ++i) sink.execute(here.task());
    CHECK(thread_count() == before + thread_per_task_sink::most_threads);
    here.open_wide();
  }
  CHECK(here.passed == 500);
}

TEST_CASE("a thread for each task makes do with the threads there are", "[executor][thread][fault]") {
  if (!can_refuse_threads()) {
    WARN("skipped: threads with enormous stacks can be started here");
    return;
  }
  gate here;
  {
    thread_per_task_sink sink;
    {
      const enormous_stacks no_threads;
      CHECK_THROWS_AS(sink.execute(here.task()), std::system_error);
    }
    sink.execute(here.task());
    {
      const enormous_stacks no_threads;
      for (int i = 0; i < 10; ++i) sink.execute(here.task());
    }
    here.open_wide();
  }
  CHECK(here.passed == 11);
}
