#include <asioq/detail/order/failure_log.hpp>

#include "catch.hpp"
#include "counting_new.hpp"
#include "records.hpp"

#include <cerrno>

using namespace asioq_test;
using asioq::asio_op;
using asioq::failure_policy;
using asioq::file_identity;
using asioq::detail::failure_log;
using asioq::detail::request_record;

namespace {

constexpr file_identity file(std::uint64_t number, std::uint64_t generation = 0) {
  return {.volume = 7, .file = number, .generation = generation};
}

/// A request of this sequence, submitted when the failures of those below `acknowledged` had been dealt with.
request_record& request(record_store& store, asio_op op, std::uint64_t sequence, std::uint64_t acknowledged = 0,
                        int error = 0) {
  request_record& its = store.make(op, 3);
  its.sequence = sequence;
  its.acknowledged = acknowledged;
  its.error = error;
  return its;
}

}  // namespace

TEST_CASE("a failed sync is remembered for its file, with its error", "[failure_log]") {
  record_store store;
  failure_log log(failure_policy::proceed);
  const auto sync = [&](std::uint64_t sequence) -> request_record& { return request(store, asio_op::fsync, sequence); };
  CHECK_FALSE(log.needs_file(sync(0)));
  CHECK(log.admits(sync(0), file(1)) == 0);
  log.record(request(store, asio_op::fsync, 1, 0, EIO), file(1));
  log.record(request(store, asio_op::fdatasync, 2, 0, EDQUOT), file(2));
  CHECK(log.needs_file(sync(3)));
  CHECK(log.admits(sync(3), file(1)) == EIO);
  CHECK(log.admits(sync(4), file(2)) == EDQUOT);
  CHECK(log.admits(request(store, asio_op::fdatasync, 5), file(1)) == EIO);
  CHECK(log.admits(sync(6), file(3)) == 0);
  CHECK(log.admits(sync(6), file(1, 1)) == 0);  // a later file with the same number
  for (const asio_op op : {asio_op::read, asio_op::write, asio_op::write_back, asio_op::truncate, asio_op::close}) {
    CHECK_FALSE(log.needs_file(request(store, op, 7)));
    CHECK(log.admits(request(store, op, 7), file(1)) == 0);
  }
}

TEST_CASE("a failed sync concerns all files while the kernel does not tell which it is", "[failure_log]") {
  using asioq::detail::unknown_file;
  using asioq::detail::unknown_generation;
  record_store store;
  failure_log log(failure_policy::proceed);
  const auto sync = [&](std::uint64_t sequence) -> request_record& { return request(store, asio_op::fsync, sequence); };
  log.record(request(store, asio_op::fsync, 1, 0, EIO), file(1, 5));
  CHECK(log.admits(sync(2), unknown_file) == EIO);
  CHECK(log.admits(sync(2), file(1, unknown_generation)) == EIO);
  CHECK(log.admits(sync(2), file(2, unknown_generation)) == 0);
  log.record(request(store, asio_op::fsync, 3, 0, EDQUOT), file(2, unknown_generation));
  CHECK(log.admits(sync(4), file(2, 7)) == EDQUOT);
  CHECK(log.admits(sync(4), file(3)) == 0);
  log.record(request(store, asio_op::fsync, 5, 0, EIO), unknown_file);
  CHECK(log.admits(sync(6), file(3)) == EIO);
}

TEST_CASE("a failure concerns younger requests alone", "[failure_log]") {
  record_store store;
  const failure_policy policy = GENERATE(failure_policy::proceed, failure_policy::hold);
  failure_log log(policy);
  log.record(request(store, asio_op::fsync, 10, 0, EIO), file(1));
  CHECK(log.admits(request(store, asio_op::fsync, 9), file(1)) == 0);
  CHECK(log.admits(request(store, asio_op::fsync, 11), file(1)) == (policy == failure_policy::hold ? ECANCELED : EIO));
}

TEST_CASE("an acknowledgement is of what had finished, not of what came later", "[failure_log]") {
  record_store store;
  failure_log log(failure_policy::proceed);
  log.record(request(store, asio_op::fsync, 3, 0, EIO), file(1));
  log.record(request(store, asio_op::fsync, 6, 0, ENOSPC), file(2));
  // resume() when the first five had finished
  CHECK(log.admits(request(store, asio_op::fsync, 8, 5), file(1)) == 0);
  CHECK(log.admits(request(store, asio_op::fsync, 9, 5), file(2)) == ENOSPC);
  CHECK(log.admits(request(store, asio_op::fsync, 7, 0), file(1)) == EIO);  // submitted before
  log.finished(request(store, asio_op::read, 8, 5));
  CHECK(log.admits(request(store, asio_op::fsync, 9, 5), file(2)) == ENOSPC);
  CHECK(log.admits(request(store, asio_op::fsync, 10, 7), file(2)) == 0);
  log.finished(request(store, asio_op::read, 10, 7));
  CHECK_FALSE(log.needs_file(request(store, asio_op::fsync, 11, 7)));  // nothing is left to be remembered
}

TEST_CASE("the oldest failure that is not acknowledged is the one reported", "[failure_log]") {
  record_store store;
  failure_log log(failure_policy::proceed);
  log.record(request(store, asio_op::fsync, 1, 0, EIO), file(1));
  log.record(request(store, asio_op::fsync, 4, 2, ENOSPC), file(1));
  CHECK(log.admits(request(store, asio_op::fsync, 5, 0), file(1)) == EIO);
  CHECK(log.admits(request(store, asio_op::fsync, 5, 2), file(1)) == ENOSPC);
  CHECK(log.admits(request(store, asio_op::fsync, 5, 5), file(1)) == 0);
}

TEST_CASE("only what may have lost data sticks", "[failure_log]") {
  record_store store;
  for (const int error : {EAGAIN, ENOMEM, ECANCELED, EINTR, EOPNOTSUPP, ENOSYS, EINVAL, EBADF}) {
    failure_log log(failure_policy::proceed);
    const request_record& failed = request(store, asio_op::fsync, 1, 0, error);
    CHECK_FALSE(failure_log::needs_file_of_failed(failed));
    log.record(failed, file(1));
    CHECK_FALSE(log.needs_file(request(store, asio_op::fsync, 2)));
    CHECK(log.admits(request(store, asio_op::fsync, 2), file(1)) == 0);
  }
  for (const int error : {EIO, ENOSPC, EDQUOT, EROFS, ENODEV, ETIMEDOUT}) {
    failure_log log(failure_policy::proceed);
    const request_record& failed = request(store, asio_op::fdatasync, 1, 0, error);
    CHECK(failure_log::needs_file_of_failed(failed));
    log.record(failed, file(1));
    CHECK(log.admits(request(store, asio_op::fsync, 2), file(1)) == error);
  }
}

TEST_CASE("under hold any failure holds all that is younger, until it is acknowledged", "[failure_log]") {
  record_store store;
  for (const asio_op op : {asio_op::read, asio_op::write, asio_op::close}) {
    failure_log log(failure_policy::hold);
    log.record(request(store, op, 5, 0, EINVAL), file(1));
    for (const asio_op other : {asio_op::read, asio_op::write_back, asio_op::fsync, asio_op::truncate}) {
      CHECK(log.admits(request(store, other, 4)) == 0);
      CHECK(log.admits(request(store, other, 6)) == ECANCELED);
      CHECK(log.admits(request(store, other, 7, 5)) == ECANCELED);
      CHECK(log.admits(request(store, other, 7, 6)) == 0);
    }
  }
  failure_log log(failure_policy::proceed);
  log.record(request(store, asio_op::write, 5, 0, EIO), file(1));
  CHECK(log.admits(request(store, asio_op::write, 6)) == 0);
}

TEST_CASE("under hold a failure counts though an older one has come before it", "[failure_log]") {
  record_store store;
  failure_log log(failure_policy::hold);
  log.record(request(store, asio_op::write, 3, 0, EIO), file(1));
  log.record(request(store, asio_op::write, 5, 0, EIO), file(2));  // it had begun before
  CHECK(log.admits(request(store, asio_op::write, 7, 4)) == ECANCELED);
  CHECK(log.admits(request(store, asio_op::write, 7, 6)) == 0);
  log.finished(request(store, asio_op::write, 7, 4));
  CHECK(log.admits(request(store, asio_op::write, 8, 4)) == ECANCELED);
}

TEST_CASE("under hold a request that was never tried counts as failed", "[failure_log]") {
  record_store store;
  failure_log log(failure_policy::hold);
  log.record_untried(request(store, asio_op::fsync, 2, 0, ENOMEM));
  CHECK(log.admits(request(store, asio_op::read, 3)) == ECANCELED);
  failure_log other(failure_policy::proceed);
  other.record_untried(request(store, asio_op::fsync, 2, 0, EIO));
  CHECK(other.admits(request(store, asio_op::fsync, 3), file(1)) == 0);
}

TEST_CASE("failures that are acknowledged leave no trace, however many there were", "[failure_log][allocation]") {
  record_store store;
  failure_log log(GENERATE(failure_policy::proceed, failure_policy::hold));
  request_record& failed = request(store, asio_op::fsync, 0, 0, EIO);
  request_record& next = request(store, asio_op::fsync, 0);
  const long before = news;
  for (std::uint64_t i = 0; i < 1000; i += 2) {
    failed.sequence = i;
    failed.acknowledged = i;
    log.record(failed, file(i));
    next.sequence = i + 1;
    next.acknowledged = i + 1;
    log.finished(next);
  }
  CHECK(news - before == 0);
  CHECK_FALSE(log.needs_file(next));
}
