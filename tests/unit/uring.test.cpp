#include <asioq/asioq.hpp>
#include <asioq/uring.hpp>

#include <stdexcept>

#include "catch.hpp"
#include "requests.hpp"

using namespace asioq_test;

TEST_CASE("a ring has a reasonable size", "[uring]") {
  CHECK_THROWS_AS(asioq::uring_context(0), std::invalid_argument);
  CHECK_THROWS_AS(asioq::uring_context(32769), std::invalid_argument);
  CHECK_THROWS_AS(asioq::uring_or_pool(0), std::invalid_argument);
}

TEST_CASE("io_uring if it works, else the pool", "[uring]") {
  asioq::uring_or_pool context{8};
  CHECK(context.uses_uring() == asioq::uring_context::available());
  CHECK(context.uses_uring() == !context.reason());
  const descriptor file = temp_file();
  asioq::basic_asio_queue<asioq::uring_or_pool::executor_type> queue{context.executor(), {.buffer_size = 512}};
  CHECK(queue.get_executor() == context.executor());
  queue.submit(write_back_of(queue, file, "abc", 0));
  queue.submit(read_of(queue, file, 3, 0));
  CHECK(drain(queue).at(0).data == "abc");
}
