#include <asioq/detail/transfer/transfer.hpp>

#include "catch.hpp"
#include "files.hpp"
#include "mounts.hpp"
#include "records.hpp"

#include <algorithm>
#include <cerrno>
#include <vector>

using namespace asioq_test;
using asioq::asio_op;
using asioq::current_position;
using asioq::detail::advance;
using asioq::detail::request_record;

namespace {

/// The places from which a request's rest is asked for when the kernel answers so, one after another.
std::vector<std::size_t> places(request_record& record, const std::vector<std::int64_t>& answers) {
  std::vector<std::size_t> all;
  std::size_t from = 0;
  for (const std::int64_t answer : answers) {
    all.push_back(from);
    if (!advance(record, from, answer)) break;
  }
  return all;
}

using list = std::vector<std::size_t>;

}  // namespace

TEST_CASE("a transfer with an offset goes on until all is there, the end or an error", "[transfer]") {
  record_store store;
  request_record& read = store.make(asio_op::read, 3, 4000, 100);
  SECTION("all at once") {
    CHECK(places(read, {4000}) == list{0});
    CHECK(read.transferred == 4000);
  }
  SECTION("in parts, with interruptions") {
    CHECK(places(read, {-EINTR, 1, 999, -EINTR, 3000}) == list{0, 0, 1, 1000, 1000});
    CHECK(read.transferred == 4000);
  }
  SECTION("to the end of the file") {
    CHECK(places(read, {500, 400, 0}) == list{0, 500, 900});
    CHECK(read.transferred == 900);
  }
  SECTION("to an error") {
    CHECK(places(read, {500, -EIO}) == list{0, 500});
    CHECK(read.transferred == 500);
    CHECK(read.error == EIO);
    return;
  }
  CHECK(read.error == 0);
}

TEST_CASE("a write that makes no progress fails", "[transfer]") {
  record_store store;
  request_record& write = store.make(asio_op::write, 3, 4000, 100);
  CHECK(places(write, {500, 0}) == list{0, 500});
  CHECK(write.error == EIO);
  CHECK(write.transferred == 500);
  request_record& empty = store.make(asio_op::write, 3, 0, 100);
  CHECK(places(empty, {0}) == list{0});
  CHECK(empty.error == 0);
}

TEST_CASE("at the position a read is one read, and a write goes on", "[transfer]") {
  record_store store;
  request_record& read = store.make(asio_op::read, 3, 4000);
  CHECK(places(read, {-EINTR, 10}) == list{0, 0});
  CHECK((read.transferred == 10 && read.error == 0));
  request_record& write = store.make(asio_op::write_back, 3, 4000);
  CHECK(places(write, {10, 3990}) == list{0, 10});
  CHECK((write.transferred == 4000 && write.error == 0));
}

TEST_CASE("what transfers nothing is over at once, and close is not repeated", "[transfer]") {
  record_store store;
  for (const asio_op op : {asio_op::fsync, asio_op::fdatasync, asio_op::truncate, asio_op::allocate, asio_op::close}) {
    request_record& its = store.make(op, 3, 0, op == asio_op::truncate ? 9 : std::uint64_t{current_position});
    CHECK(places(its, {0}) == list{0});
    CHECK((its.error == 0 && its.transferred == 0));
    request_record& failed = store.make(op, 3);
    CHECK(places(failed, {-ENOSPC}) == list{0});
    CHECK(failed.error == ENOSPC);
    request_record& interrupted = store.make(op, 3);
    CHECK(places(interrupted, {-EINTR, 0}).size() == (op == asio_op::close ? 1 : 2));
    CHECK(interrupted.error == 0);
  }
}

TEST_CASE("a direct read that is short in mid-file goes on, also from inside a sector", "[transfer][direct]") {
  record_store store;
  request_record& read = store.make(asio_op::read, 3, 65536, 8192);
  SECTION("where the file takes any place") {
    std::vector<std::int64_t> answers(65, 1000);
    answers.push_back(536);
    CHECK(places(read, answers).size() == 66);
    CHECK(read.transferred == 65536);
  }
  SECTION("where it refuses the inside of a sector") {
    CHECK(places(read, {1000, -EINVAL, 9000, -EINVAL, 57344}) == list{0, 1000, 0, 9000, 8192});
    CHECK(read.transferred == 65536);
  }
  SECTION("to an error behind it") {
    CHECK(places(read, {10752, -EINVAL, -EIO}) == list{0, 10752, 8192});
    CHECK(read.transferred == 10752);
    CHECK(read.error == EIO);
    return;
  }
  SECTION("to an unaligned end") {
    CHECK(places(read, {10752, -EINVAL, 2560}) == list{0, 10752, 8192});  // the same bytes as before
    CHECK(read.transferred == 10752);
  }
  SECTION("to an unaligned end that is refused before it is met") {
    CHECK(places(read, {5000, -EINVAL, 904}) == list{0, 5000, 4096});
    CHECK(read.transferred == 5000);
  }
  CHECK(read.error == 0);
}

TEST_CASE("a misaligned request is refused as it is", "[transfer][direct]") {
  record_store store;
  request_record& read = store.make(asio_op::read, 3, 100, 1);
  CHECK(places(read, {-EINVAL}) == list{0});
  CHECK(read.error == EINVAL);
}

TEST_CASE("a direct write that is short goes on from the sector, unless it appends", "[transfer][direct]") {
  const std::optional<descriptor> direct = direct_file();
  if (!direct) {
    WARN(no_direct_io);
    return;
  }
  record_store store;
  request_record& write = store.make(asio_op::write, direct->get(), 65536, 0);
  CHECK(places(write, {10752, -EINVAL, 57344}) == list{0, 10752, 8192});
  CHECK((write.error == 0 && write.transferred == 65536));
  request_record& stuck = store.make(asio_op::write, direct->get(), 65536, 0);
  CHECK(places(stuck, {10752, -EINVAL, 1000}) == list{0, 10752, 8192});
  CHECK((stuck.error == EIO && stuck.transferred == 10752));
  const descriptor appends = reopen(*direct, O_RDWR | O_DIRECT | O_APPEND);
  request_record& appended = store.make(asio_op::write, appends.get(), 65536, 0);
  CHECK(places(appended, {10752, -EINVAL}) == list{0, 10752});
  CHECK((appended.error == EINVAL && appended.transferred == 10752));
}
