#include <asioq/asio_op.hpp>
#include <asioq/options.hpp>

#include <set>

#include "catch.hpp"

TEST_CASE("options have the documented defaults", "[options]") {
  const asioq::queue_options options;
  CHECK(options.buffer_size == 64 * 1024);
  CHECK(options.max_writebacks == 16);
  CHECK(options.order == asioq::execution_order::strict);
  CHECK(options.max_in_flight == 32);
  CHECK(options.on_failure == asioq::failure_policy::proceed);
  CHECK_FALSE(options.on_lost_failure);
}

TEST_CASE("options can be named in their order", "[options]") {
  const asioq::queue_options options{.buffer_size = 1,
                                     .max_writebacks = 2,
                                     .order = asioq::execution_order::as_if_serial,
                                     .max_in_flight = 3,
                                     .on_failure = asioq::failure_policy::hold,
                                     .on_lost_failure = [](asioq::asio_request&) {}};
  CHECK(options.buffer_size == 1);
  CHECK(options.max_writebacks == 2);
  CHECK(options.max_in_flight == 3);
  CHECK(options.on_lost_failure);
}

TEST_CASE("buffers are aligned for O_DIRECT on any disk", "[options]") {
  STATIC_REQUIRE(asioq::buffer_alignment == 4096);
}

TEST_CASE("every operation is another one", "[asio_op]") {
  using enum asioq::asio_op;
  CHECK(std::set{free, read, write, write_back, fsync, fdatasync}.size() == 6);
}
