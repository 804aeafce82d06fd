#include <asioq/thread_pool.hpp>

#include <atomic>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "child.hpp"
#include "threads.hpp"

using namespace asioq_test;

namespace {

asioq::task counting(std::atomic<int>& count) {
  return asioq::task([](void* context) noexcept { ++*static_cast<std::atomic<int>*>(context); }, &count);
}

}  // namespace

TEST_CASE("a pool has the threads it was asked for, and joins them", "[thread_pool]") {
  const std::size_t before = thread_count();
  {
    asioq::thread_pool pool{3};
    CHECK(pool.size() == 3);
    CHECK(thread_count() == before + 3);
  }
  CHECK(threads_fall_to(before));
}

TEST_CASE("a pool without threads is refused", "[thread_pool][bad_use]") {
  CHECK_THROWS_AS(asioq::thread_pool{0}, std::invalid_argument);
}

TEST_CASE("executors are equal if they are of one pool", "[thread_pool]") {
  asioq::thread_pool one{1};
  asioq::thread_pool two{1};
  CHECK(one.executor() == one.executor());
  CHECK_FALSE(one.executor() == two.executor());
}

TEST_CASE("the destructor of a pool runs every task it was given", "[thread_pool]") {
  std::atomic<int> count = 0;
  {
    asioq::thread_pool pool{2};
    for (int i = 0; i < 10'000; ++i) pool.executor().execute(counting(count));
  }
  CHECK(count == 10'000);
}

TEST_CASE("tasks may give more tasks to the pool, also while it ends", "[thread_pool]") {
  struct state {
    asioq::thread_pool::executor_type executor;
    std::atomic<int> left;
    static void step(void* context) noexcept {
      auto& self = *static_cast<state*>(context);
      if (--self.left > 0) self.executor.execute(asioq::task(step, context));
    }
  };
  auto pool = std::make_unique<asioq::thread_pool>(2);
  state shared{pool->executor(), 1000};
  pool->executor().execute(asioq::task(state::step, &shared));
  pool.reset();
  CHECK(shared.left == 0);
}

TEST_CASE("a pool of n threads runs n tasks at once", "[thread_pool]") {
  constexpr int threads = 4;
  struct state {
    std::latch all{threads};
    std::mutex mutex;
    std::set<std::thread::id> ids;
  } shared;
  {
    asioq::thread_pool pool{threads};
    const asioq::task meet(
        [](void* context) noexcept {
          auto& meeting = *static_cast<state*>(context);
          meeting.all.arrive_and_wait();  // for ever, if one is missing
          const std::lock_guard lock(meeting.mutex);
          meeting.ids.insert(std::this_thread::get_id());
        },
        &shared);
    for (int i = 0; i < threads; ++i) pool.executor().execute(meet);
  }
  CHECK(shared.ids.size() == threads);
}

TEST_CASE("tasks may come from many threads", "[thread_pool]") {
  std::atomic<int> count = 0;
  {
    asioq::thread_pool pool{2};
    run_on_threads(4, [&] {
      for (int k = 0; k < 1000; ++k) pool.executor().execute(counting(count));
    });
  }
  CHECK(count == 4000);
}

TEST_CASE("a pool whose threads cannot be started throws and leaves none", "[thread_pool][fault]") {
  if (!can_refuse_threads()) {
    WARN("skipped: threads with enormous stacks can be started here");
    return;
  }
  const std::size_t before = thread_count();
  {
    const enormous_stacks no_threads;
    CHECK_THROWS_AS(asioq::thread_pool{2}, std::system_error);
  }
  CHECK(threads_fall_to(before));
  CHECK_NOTHROW(asioq::thread_pool{2});
}

TEST_CASE("a pool that gets only some of its threads throws and leaves none", "[thread_pool][fault]") {
  if (sanitized) {
    WARN("skipped: sanitizers need the address space that this test takes away");
    return;
  }
  const ending end = run_in_child([] {
    limit_threads_to_about(3);
    try {
      asioq::thread_pool pool{64};
      return 1;
    } catch (const std::system_error&) {
    }
    if (!threads_fall_to(1)) return 2;
    asioq::thread_pool pool{1};
    return thread_count() == 2 ? 0 : 3;
  });
  CHECK(end.exit_code == 0);
}
