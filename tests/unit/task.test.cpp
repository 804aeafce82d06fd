#include <asioq/task.hpp>

#include <type_traits>

#include "catch.hpp"

TEST_CASE("a task is two words that anybody may copy", "[task]") {
  STATIC_REQUIRE(sizeof(asioq::task) == 2 * sizeof(void*));
  STATIC_REQUIRE(std::is_trivially_copyable_v<asioq::task>);
  STATIC_REQUIRE(std::is_nothrow_invocable_v<const asioq::task&>);
}

TEST_CASE("calling a task calls its function with its context", "[task]") {
  int calls = 0;
  const asioq::task work([](void* context) noexcept { ++*static_cast<int*>(context); }, &calls);
  work();
  const asioq::task copy = work;
  copy();
  CHECK(calls == 2);
}
