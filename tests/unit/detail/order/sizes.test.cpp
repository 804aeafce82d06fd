#include <asioq/detail/order/schedule.hpp>

#include <cstddef>
#include <cstdint>

#include "catch.hpp"

using asioq::asio_op;
using asioq::detail::request_record;

namespace {

void ask_for(request_record& record, std::uint64_t sequence, asio_op op, int fd, std::size_t length,
             std::uint64_t offset) {
  record.sequence = sequence;
  record.op = op;
  record.fd = fd;
  record.length = length;
  record.offset = offset;
}

}  // namespace

TEST_CASE("a truncate that ends before its file is known lowers what is known of sizes", "[schedule]") {
  constexpr int one = 1;
  constexpr int other = 2;  // of the same file
  request_record first(nullptr, nullptr);
  request_record second(nullptr, nullptr);
  request_record cut(nullptr, nullptr);
  request_record read(nullptr, nullptr);
  request_record write(nullptr, nullptr);
  ask_for(first, 0, asio_op::write, one, 1, 0);
  ask_for(second, 1, asio_op::write, one, 1, 0);
  ask_for(cut, 2, asio_op::truncate, other, 0, 5);
  ask_for(read, 3, asio_op::read, one, 10, 6);
  ask_for(write, 4, asio_op::write, one, 1, 25);
  const asioq::file_facts facts{.identity = {.volume = 1, .file = 1, .generation = 0}, .size = 30};
  asioq::detail::schedule order(4, asioq::failure_policy::proceed);
  order.add(first);
  order.add(second);
  order.learn(order.ask(), facts);
  order.add(cut);
  const auto asked = order.ask();
  order.add(read);
  order.add(write);
  for (request_record* const next : {&first, &second, &cut}) {
    REQUIRE(order.next() == next);
    order.complete(*next);
  }
  CHECK(order.next() == nullptr);
  CHECK(order.finished() == 2);  // its owner could close the descriptor that is asked for
  order.learn(asked, facts);
  CHECK(order.finished() == 3);
  REQUIRE(order.next() == &read);
  CHECK(order.next() == nullptr);  // the write would move the end that the read observes
  order.complete(read);
  REQUIRE(order.next() == &write);
  order.complete(write);
  CHECK(order.finished() == 5);
}

TEST_CASE("a number that is used again after a close is asked for again", "[schedule]") {
  constexpr int reused = 1;
  constexpr int other = 2;
  request_record first(nullptr, nullptr);
  request_record second(nullptr, nullptr);
  request_record close(nullptr, nullptr);
  request_record write(nullptr, nullptr);
  request_record read(nullptr, nullptr);
  ask_for(first, 0, asio_op::read, other, 1, 0);
  ask_for(second, 1, asio_op::read, reused, 1, 0);
  ask_for(close, 2, asio_op::close, reused, 0, asioq::current_position);
  ask_for(write, 3, asio_op::write, reused, 8, 0);  // the number means the file of `other` by then
  ask_for(read, 4, asio_op::read, other, 8, 0);
  const asioq::file_facts old{.identity = {.volume = 1, .file = 1, .generation = 0}, .size = 30};
  const asioq::file_facts present{.identity = {.volume = 1, .file = 2, .generation = 0}, .size = 30};
  asioq::detail::schedule order(4, asioq::failure_policy::proceed);
  order.add(first);
  order.add(second);
  while (order.has_question()) {
    const auto asked = order.ask();
    order.learn(asked, asked.fd == other ? present : old);
  }
  order.add(close);
  order.add(write);
  order.add(read);
  CHECK_FALSE(order.has_question());
  REQUIRE(order.next() == &first);
  REQUIRE(order.next() == &second);
  order.complete(second);
  REQUIRE(order.next() == &close);
  CHECK(order.next() == nullptr);
  CHECK_FALSE(order.has_question());  // the number still means the old file
  order.complete(close);
  REQUIRE(order.has_question());
  const auto asked = order.ask();
  CHECK(asked.fd == reused);
  order.learn(asked, present);
  CHECK(order.next() == nullptr);  // the first reads what would be written
  order.complete(first);
  REQUIRE(order.next() == &write);
  CHECK(order.next() == nullptr);  // the last has to see what is written
  order.complete(write);
  REQUIRE(order.next() == &read);
  order.complete(read);
  CHECK(order.finished() == 5);
}
