#include <asioq/asioq.hpp>

#include "catch.hpp"
#include "executors.hpp"

namespace {

struct minimal {
  void execute(asioq::task work) const { work(); }
  bool operator==(const minimal&) const = default;
};

struct not_comparable {
  void execute(asioq::task) const {}
};

struct not_const {
  void execute(asioq::task) {}
  bool operator==(const not_const&) const = default;
};

struct not_copyable {
  not_copyable(const not_copyable&) = delete;
  void execute(asioq::task) const {}
  bool operator==(const not_copyable&) const = default;
};

struct without_execute {
  bool operator==(const without_execute&) const = default;
};

/// Takes anything callable, by reference.
struct generic {
  template <class Work>
  void execute(Work&& work) const {
    work();
  }
  bool operator==(const generic&) const = default;
};

}  // namespace

TEST_CASE("an executor copies, compares and executes", "[executor]") {
  STATIC_REQUIRE(asioq::executor<minimal>);
  STATIC_REQUIRE(asioq::executor<generic>);
  STATIC_REQUIRE(asioq::executor<asioq::inline_executor>);
  STATIC_REQUIRE(asioq::executor<asioq::default_executor>);
  STATIC_REQUIRE(asioq::executor<asioq::thread_pool::executor_type>);
  STATIC_REQUIRE(asioq::executor<asioq_test::custom_executor>);
}

TEST_CASE("what lacks one of these is no executor", "[executor]") {
  STATIC_REQUIRE_FALSE(asioq::executor<not_comparable>);
  STATIC_REQUIRE_FALSE(asioq::executor<not_const>);
  STATIC_REQUIRE_FALSE(asioq::executor<not_copyable>);
  STATIC_REQUIRE_FALSE(asioq::executor<without_execute>);
  STATIC_REQUIRE_FALSE(asioq::executor<int>);
  STATIC_REQUIRE_FALSE(asioq::executor<asioq::thread_pool>);
}

TEST_CASE("a queue uses a copy of its executor", "[executor][queue]") {
  asioq_test::pumped_sink one;
  asioq_test::pumped_sink two;
  asioq_test::custom_executor mine{&one};
  const asioq::basic_asio_queue<asioq_test::custom_executor> queue{mine};
  mine.sink = &two;
  CHECK(queue.get_executor() == asioq_test::custom_executor{&one});
}
