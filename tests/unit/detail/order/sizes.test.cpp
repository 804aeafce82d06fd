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
  REQUIRE(order.next() == &read);
  order.learn(asked, facts);
  CHECK(order.next() == nullptr);  // the write would move the end that the read observes
  order.complete(read);
  REQUIRE(order.next() == &write);
  order.complete(write);
  CHECK(order.finished() == 5);
}
