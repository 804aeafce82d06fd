#include <asioq/asioq.hpp>

#include <type_traits>

#include "catch.hpp"
#include "requests.hpp"

using namespace asioq_test;
using asioq::asio_op;
using asioq::asio_request;
using queue_type = asioq::basic_asio_queue<asioq::inline_executor>;

TEST_CASE("a request handle can be moved, not copied", "[request]") {
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<asio_request>);
  STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<asio_request>);
  STATIC_REQUIRE(std::is_nothrow_move_constructible_v<asio_request>);
  STATIC_REQUIRE(std::is_nothrow_move_assignable_v<asio_request>);
  STATIC_REQUIRE(std::is_nothrow_default_constructible_v<asio_request>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<asio_request, bool>);  // explicit
}

TEST_CASE("a default or moved-from handle is empty", "[request]") {
  queue_type queue;
  asio_request empty;
  CHECK_FALSE(empty);
  asio_request one = queue.get();
  CHECK(one);
  empty = std::move(one);
  CHECK(empty);
  CHECK_FALSE(one);  // NOLINT(bugprone-use-after-move)
  const asio_request two(std::move(empty));
  CHECK(two);
  CHECK_FALSE(empty);  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("every member of an empty handle throws", "[request][bad_use]") {
  asio_request empty;
  using bad = std::invalid_argument;
  CHECK_THROWS_AS(empty.buffer(), bad);
  CHECK_THROWS_AS(empty.data(), bad);
  CHECK_THROWS_AS(empty.error(), bad);
  CHECK_THROWS_AS(empty.bytes_transferred(), bad);
  CHECK_THROWS_AS(empty.op(), bad);
  CHECK_THROWS_AS(empty.fd(), bad);
  CHECK_THROWS_AS(empty.length(), bad);
  CHECK_THROWS_AS(empty.offset(), bad);
  CHECK_THROWS_AS(empty.sequence(), bad);
  CHECK_THROWS_AS(empty.user_data(), bad);
  CHECK_THROWS_AS(empty.set_user_data(nullptr), bad);
  CHECK_THROWS_AS(empty.prepare_read(0, 1), bad);
  CHECK_THROWS_AS(empty.prepare_write(0, 1), bad);
  CHECK_THROWS_AS(empty.prepare_write_back(0, 1), bad);
  CHECK_THROWS_AS(empty.prepare_fsync(0), bad);
  CHECK_THROWS_AS(empty.prepare_fdatasync(0), bad);
}

TEST_CASE("a handle that is assigned to gives back what it had", "[request]") {
  queue_type queue;
  asio_request one = queue.get();
  one = queue.get();
  one = {};
  one = queue.get();
  asio_request two = queue.get();
  CHECK(queue.allocated_requests() == 2);
  asio_request& same = one;
  one = std::move(same);  // harmless, whatever is left
  swap(one, two);
  CHECK(two.buffer().size() == queue.options().buffer_size);
}

TEST_CASE("a new request has nothing prepared", "[request]") {
  queue_type queue;
  const asio_request request = queue.get();
  CHECK(request.op() == asio_op::free);
  CHECK_FALSE(request.error());
  CHECK(request.bytes_transferred() == 0);
  CHECK(request.data().empty());
  CHECK(request.user_data() == nullptr);
}

TEST_CASE("a preparation says what it prepared, the last one counts", "[request]") {
  queue_type queue;
  asio_request request = queue.get();
  request.prepare_read(3, 100, 7);
  CHECK(request.op() == asio_op::read);
  CHECK(request.fd() == 3);
  CHECK(request.length() == 100);
  CHECK(request.offset() == 7);
  request.prepare_write(4, 200);
  CHECK(request.op() == asio_op::write);
  CHECK(request.fd() == 4);
  CHECK(request.length() == 200);
  CHECK(request.offset() == asioq::current_position);
  request.prepare_write_back(5, 0, 0);
  CHECK(request.op() == asio_op::write_back);
  CHECK(request.length() == 0);
  CHECK(request.offset() == 0);
  request.prepare_fsync(6);
  CHECK(request.op() == asio_op::fsync);
  CHECK(request.fd() == 6);
  request.prepare_fdatasync(7);
  CHECK(request.op() == asio_op::fdatasync);
}

TEST_CASE("preparing leaves the buffer and the user's data alone", "[request]") {
  queue_type queue;
  asio_request request = queue.get();
  int mine = 0;
  request.set_user_data(&mine);
  set_text(request, "kept");
  request.prepare_read(0, 4);
  request.prepare_write(0, 4);
  CHECK(text_of(request.buffer().first(4)) == "kept");
  CHECK(request.user_data() == &mine);
}
