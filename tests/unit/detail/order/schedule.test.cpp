// The schedule alone, without threads: a disk that carries out requests in any order that the schedule allows has to
// give what a serial run gives.
#include <asioq/detail/order/schedule.hpp>

#include "catch.hpp"
#include "records.hpp"
#include "seed.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <optional>
#include <string>
#include <vector>

using namespace asioq_test;
using asioq::asio_op;
using asioq::current_position;
using asioq::failure_policy;
using asioq::file_facts;
using asioq::detail::request_record;
using asioq::detail::schedule;

namespace {

/// Files whose bytes are the numbers of the requests that wrote them.
class model_disk {
 public:
  static constexpr std::array file_of = {0, 0, 0, 1, 1, 2};  // of each descriptor
  static constexpr int appending = 2;                        // the descriptor with O_APPEND
  static constexpr int stream = 2;                           // the file without offsets

  explicit model_disk(std::size_t size) {
    for (std::vector<std::uint64_t>& file : files_) file.assign(size, 1'000'000);
  }

  [[nodiscard]] file_facts facts(int fd) const {
    const auto its = static_cast<std::size_t>(fd);
    if (closed_[its]) return {.identity = {.volume = 9}, .is_stream = true, .size = file_facts::unlimited};
    const int file = file_of[its];
    return {.identity = {.volume = 1, .file = static_cast<std::uint64_t>(file)},
            .is_stream = file == stream,
            .appends = fd == appending,
            .size = file == stream ? file_facts::unlimited : files_[static_cast<std::size_t>(file)].size()};
  }

  /// What the request sees, as text; sets `transferred` and `error`.
  std::string carry_out(request_record& record) {
    const auto its = static_cast<std::size_t>(record.fd);
    if (closed_[its]) {
      record.error = EBADF;
      return "closed";
    }
    std::vector<std::uint64_t>& file = files_[static_cast<std::size_t>(file_of[its])];
    std::size_t place = static_cast<std::size_t>(record.at_position() ? positions_[its] : record.offset);
    std::string seen;
    switch (record.op) {
      case asio_op::read:
        while (record.transferred < record.length && place < file.size()) {
          seen += std::to_string(file[place++]) + ' ';
          ++record.transferred;
        }
        break;
      case asio_op::write:
      case asio_op::write_back: {
        if (record.fd == appending) place = file.size();
        const bool fails = record.sequence % 7 == 3;
        record.transferred = fails ? record.length / 2 : record.length;
        if (fails) record.error = ENOSPC;
        if (record.transferred > 0) file.resize(std::max(file.size(), place + record.transferred), 0);
        for (std::size_t i = 0; i < record.transferred; ++i) file[place++] = record.sequence;
        break;
      }
      case asio_op::truncate:
        file.resize(static_cast<std::size_t>(record.offset), 0);
        break;
      case asio_op::allocate:
        file.resize(std::max(file.size(), static_cast<std::size_t>(record.offset) + record.length), 0);
        break;
      case asio_op::close:
        closed_[its] = true;
        break;
      default:
        if (record.can_be_passed) break;  // may see what is younger
        for (const std::uint64_t one : file) seen += std::to_string(one) + ' ';
        break;
    }
    if (record.at_position()) positions_[its] = place;
    return seen + '=' + std::to_string(record.transferred) + ' ' + std::to_string(record.error);
  }

  bool operator==(const model_disk&) const = default;

 private:
  std::array<std::vector<std::uint64_t>, 3> files_;
  std::array<std::uint64_t, file_of.size()> positions_{};
  std::array<bool, file_of.size()> closed_{};
};

void make_random(record_store& store, std::mt19937_64& random, bool with_close) {
  constexpr std::array ops = {asio_op::read,       asio_op::read,  asio_op::read,     asio_op::write,   asio_op::write,
                              asio_op::write_back, asio_op::fsync, asio_op::truncate, asio_op::allocate};
  const int fd = static_cast<int>(below(random, model_disk::file_of.size()));
  asio_op op = with_close && below(random, 24) == 0 ? asio_op::close : ops[below(random, ops.size())];
  const bool is_passable = op == asio_op::fsync && below(random, 2) == 0;
  if (is_passable) op = asio_op::fdatasync;
  const std::size_t length = below(random, 12);
  const bool whole = op == asio_op::fsync || op == asio_op::close || is_passable;
  const bool at_position = op != asio_op::truncate && op != asio_op::allocate && below(random, 8) == 0;
  store
      .make(op, fd, whole || op == asio_op::truncate ? 0 : length,
            whole || at_position ? std::uint64_t{current_position} : below(random, 60))
      .can_be_passed = is_passable;
}

/// What is wrong about the start of a request, as far as syncs let others pass; empty if nothing is.
std::string check_start(const request_record& record, const std::deque<request_record>& all,
                        const std::vector<bool>& has_ended) {
  // All descriptors that are closed mean the same: nothing.
  const auto file_of = [&](const request_record& its) {
    const bool is_closed = std::ranges::any_of(all, [&](const request_record& other) {
      return other.op == asio_op::close && other.fd == its.fd && other.sequence < its.sequence;
    });
    return is_closed ? -1 : model_disk::file_of[static_cast<std::size_t>(its.fd)];
  };
  const bool minds_syncs = record.traits().is_sync || record.op == asio_op::close;
  for (const request_record& older : all) {
    if (older.sequence >= record.sequence) return "";
    if (file_of(older) != file_of(record) || has_ended[older.sequence]) continue;
    if (record.can_be_passed || (older.can_be_passed && minds_syncs))
      return "request " + std::to_string(record.sequence) + " has not waited for " + std::to_string(older.sequence);
  }
  return "";
}

struct running {
  request_record* record;
  bool has_run;
};

/// Whether it is in flight together with an older sync of its file, which lets it pass.
bool is_any_passed(const request_record& record, const std::vector<running>& in_flight) {
  return std::ranges::any_of(in_flight, [&](const running& other) {
    return other.record->can_be_passed && other.record->sequence < record.sequence &&
           model_disk::file_of[static_cast<std::size_t>(other.record->fd)] ==
               model_disk::file_of[static_cast<std::size_t>(record.fd)];
  });
}

/// What goes wrong with one random program; empty if nothing does. Counts requests that have passed a sync.
std::string try_program(std::mt19937_64 random, int& passed) {
  record_store store;
  const std::size_t count = 3 + below(random, 60);
  const bool with_close = below(random, 2) == 0;
  for (std::size_t i = 0; i < count; ++i) make_random(store, random, with_close);
  const std::size_t size = below(random, 40);
  model_disk serial(size);
  std::vector<std::string> expected;
  for (request_record& one : store.all()) {
    expected.push_back(serial.carry_out(one));
    one.transferred = 0;
    one.error = 0;
  }

  model_disk disk(size);
  schedule order(1 + below(random, 6), failure_policy::proceed);
  std::vector<running> in_flight;
  std::vector<std::string> seen(count);
  std::vector<bool> has_ended(count);
  std::string wrong;
  const auto begin = [&](request_record* next) {
    if (next == nullptr) return;
    in_flight.push_back({next, false});
    if (wrong.empty()) wrong = check_start(*next, store.all(), has_ended);
    if (is_any_passed(*next, in_flight)) ++passed;
  };
  std::optional<schedule::question> asked;
  file_facts answer;
  bool is_answered = false;
  std::size_t added = 0;
  for (std::size_t steps = 0; order.finished() < count; ++steps) {
    if (steps > 100'000) return "no progress";
    switch (below(random, 5)) {
      case 0:
        if (added < count) order.add(store.all()[added++]);
        break;
      case 1:
        if (order.has_question() && !asked) {
          asked = order.ask();
          is_answered = false;
        } else if (asked && !is_answered) {  // the kernel looks at some time between question and answer
          answer = disk.facts(asked->fd);
          is_answered = true;
        } else if (asked) {
          order.learn(*asked, answer);
          asked.reset();
        }
        break;
      case 2:
        begin(order.next());
        break;
      case 3:
        begin(order.next_to_finish());
        break;
      default: {
        if (in_flight.empty()) break;
        running& one = in_flight[below(random, in_flight.size())];
        if (!one.has_run) seen[one.record->sequence] = disk.carry_out(*one.record);
        if (std::exchange(one.has_run, true) == false && below(random, 2) == 0) break;
        request_record& record = *one.record;
        one = in_flight.back();
        in_flight.pop_back();
        has_ended[record.sequence] = true;
        order.complete(record);
        break;
      }
    }
    if (in_flight.size() != order.in_flight()) return "it does not know what is in flight";
    if (!wrong.empty()) return wrong;
  }
  for (std::size_t i = 0; i < count; ++i)
    if (seen[i] != expected[i])
      return "request " + std::to_string(i) + " saw " + seen[i] + " instead of " + expected[i];
  return disk == serial ? "" : "other contents";
}

}  // namespace

TEST_CASE("what the schedule allows ends as in a serial run", "[schedule][random]") {
  std::string wrong;
  std::uint64_t stream = 0;
  int passed = 0;
  for (; stream < 2000 && wrong.empty(); ++stream) wrong = try_program(random_source(stream), passed);
  INFO("program " << stream - 1);
  CHECK(passed > 1000);
  CHECK(wrong.empty());
  CHECK(wrong == "");
}

TEST_CASE("requests that cannot observe each other run at the same time", "[schedule]") {
  record_store store;
  schedule order(8, failure_policy::proceed);
  for (std::uint64_t i = 0; i < 8; ++i) store.make(i % 2 == 0 ? asio_op::write : asio_op::read, 5, 10, i * 10);
  for (request_record& one : store.all()) order.add(one);
  REQUIRE(order.has_question());
  order.learn(order.ask(), {.identity = {.volume = 1, .file = 1}, .size = 1000});
  for (request_record& one : store.all()) CHECK(order.next() == &one);
  for (auto one = store.all().rbegin(); one != store.all().rend(); ++one) order.complete(*one);
  CHECK(order.finished() == 8);
}

TEST_CASE("descriptors of the same identity conflict, and of others not", "[schedule]") {
  record_store store;
  schedule order(8, failure_policy::proceed);
  request_record& first = store.make(asio_op::write, 5, 10, 0);
  request_record& same = store.make(asio_op::read, 6, 10, 5);
  request_record& other = store.make(asio_op::write, 7, 10, 0);
  for (request_record& one : store.all()) order.add(one);
  while (order.has_question()) {
    const schedule::question asked = order.ask();
    order.learn(asked, {.identity = {.volume = 1, .file = asked.fd == 7 ? 2U : 1U}, .size = 1000});
  }
  CHECK(order.next() == &first);
  CHECK(order.next() == &other);
  CHECK(order.next() == nullptr);
  order.complete(first);
  CHECK(order.next() == &same);
}

TEST_CASE("what the kernel does not tell of runs alone, and is asked about once", "[schedule]") {
  record_store store;
  schedule order(4, failure_policy::proceed);
  request_record& first = store.make(asio_op::write, 5, 10, 0);
  request_record& unknown = store.make(asio_op::write, 6, 10, 0);
  request_record& again = store.make(asio_op::write, 6, 10, 100);
  request_record& last = store.make(asio_op::write, 5, 10, 200);
  for (request_record& one : store.all()) order.add(one);
  order.learn(order.ask(), {.identity = {.volume = 1, .file = 1}, .size = 1000});
  REQUIRE(order.has_question());
  order.learn(order.ask(), {.identity = asioq::detail::unknown_file});
  for (request_record* one : {&first, &unknown, &again, &last}) {
    CHECK_FALSE(order.has_question());
    CHECK(order.next() == one);
    CHECK(order.next() == nullptr);
    order.complete(*one);
  }
  CHECK(order.finished() == 4);
}

TEST_CASE("a sync that lets others pass is in the way of syncs and closes alone", "[schedule]") {
  for (const asio_op last : {asio_op::fsync, asio_op::fdatasync, asio_op::close}) {
    record_store store;
    schedule order(8, failure_policy::proceed);
    request_record& old = store.make(asio_op::write, 5, 10, 0);
    request_record& sync = store.make(asio_op::fdatasync, 5);
    request_record& write = store.make(asio_op::write, 5, 10, 0);
    request_record& cut = store.make(asio_op::truncate, 5, 0, 5);
    request_record& end = store.make(last, 5);
    sync.can_be_passed = true;
    end.can_be_passed = last == asio_op::fdatasync;
    for (request_record& one : store.all()) order.add(one);
    order.learn(order.ask(), {.identity = {.volume = 1, .file = 1}, .size = 1000});
    CHECK(order.next() == &old);
    CHECK(order.next() == nullptr);
    order.complete(old);
    CHECK(order.next() == &sync);
    CHECK(order.next() == &write);
    CHECK(order.next() == nullptr);
    order.complete(write);
    CHECK(order.next() == &cut);
    order.complete(cut);
    CHECK(order.next() == nullptr);
    CHECK(order.finished() == 1);
    order.complete(sync);
    CHECK(order.finished() == 4);
    CHECK(order.next() == &end);
    order.complete(end);
  }
}

TEST_CASE("a question holds up what names its descriptor, and nothing else", "[schedule]") {
  record_store store;
  schedule order(4, failure_policy::proceed);
  request_record& first = store.make(asio_op::write, 5, 10, 0);
  request_record& second = store.make(asio_op::write, 6, 10, 0);
  request_record& third = store.make(asio_op::write, 6, 10, 10);
  for (request_record& one : store.all()) order.add(one);
  const auto asked = order.ask();
  REQUIRE(asked.fd == 5);
  REQUIRE(order.next() == &first);
  CHECK(order.next() == nullptr);
  order.complete(first);
  CHECK(order.finished() == 0);  // its owner could close the descriptor that is asked for
  order.learn(asked, {.identity = {.volume = 1, .file = 1}, .size = 1000});
  CHECK(order.finished() == 1);
  REQUIRE(order.has_question());
  REQUIRE(order.ask().fd == 6);
  CHECK(order.next() == &second);  // alone, without an answer
  CHECK(order.next() == nullptr);
  CHECK_FALSE(order.has_question());
  static_cast<void>(third);
}

TEST_CASE("no question need be asked: the queue comes to an end nevertheless", "[schedule]") {
  record_store store;
  schedule order(4, failure_policy::proceed);
  for (std::uint64_t i = 0; i < 10; ++i) store.make(asio_op::write, 5, 10, i * 10);
  for (request_record& one : store.all()) order.add(one);
  for (request_record& one : store.all()) {
    REQUIRE(order.next() == &one);
    CHECK(order.next() == nullptr);
    order.complete(one);
  }
  CHECK(order.finished() == 10);
}

TEST_CASE("a request that was taken back is in no other's way", "[schedule]") {
  record_store store;
  schedule order(4, failure_policy::proceed);
  request_record& first = store.make(asio_op::write, 5, 10, 0);
  request_record& second = store.make(asio_op::write, 5, 10, 5);
  request_record& third = store.make(asio_op::write, 5, 10, 5);
  third.sequence = 1;  // in the place of the second
  order.add(first);
  order.add(second);
  const bool is_answered = GENERATE(false, true);
  if (is_answered) order.learn(order.ask(), {.identity = {.volume = 1, .file = 1}, .size = 1000});
  CHECK(order.withdraw(second));
  order.add(third);
  if (order.has_question()) order.learn(order.ask(), {.identity = {.volume = 1, .file = 1}, .size = 1000});
  CHECK(order.next() == &first);
  CHECK(order.next() == nullptr);
  order.complete(first);
  CHECK(order.next() == &third);
  CHECK_FALSE(order.withdraw(third));  // too late
  order.complete(third);
  CHECK(order.finished() == 2);
}

TEST_CASE("an answer that comes after a truncate, about what was known before, tells no size", "[schedule]") {
  constexpr int fd = 5;
  constexpr int unknown = 6;
  const file_facts before{.identity = {.volume = 1, .file = 1}, .size = 1000};
  record_store store;
  schedule order(4, failure_policy::proceed);
  request_record& first = store.make(asio_op::write, fd, 10, 0);
  request_record& second = store.make(asio_op::write, fd, 10, 10);
  request_record& other = store.make(asio_op::write, unknown, 10, 0);
  request_record& third = store.make(asio_op::read, fd, 10, 0);
  request_record& fourth = store.make(asio_op::read, fd, 10, 0);
  request_record& cut = store.make(asio_op::truncate, fd, 0, 0);
  request_record& write = store.make(asio_op::write, fd, 10, 0);
  request_record& read = store.make(asio_op::read, fd, 10, 100);
  order.add(first);
  order.add(second);
  order.learn(order.ask(), before);
  for (request_record* const one : {&other, &third, &fourth}) order.add(*one);
  for (request_record* const one : {&first, &second, &other}) {  // the last one alone, without an answer
    REQUIRE(order.next() == one);
    order.complete(*one);
  }
  REQUIRE(order.next() == &third);  // alone
  REQUIRE(order.has_question());
  const schedule::question asked = order.ask();
  REQUIRE(asked.fd == fd);
  order.add(cut);
  REQUIRE(order.next() == &fourth);
  order.complete(third);
  order.complete(fourth);
  REQUIRE(order.next() == &cut);
  order.add(write);
  order.complete(cut);
  REQUIRE(order.next() == &write);
  order.learn(asked, before);
  order.add(read);
  CHECK(order.next() == nullptr);  // beyond the end, which the write moves
  order.complete(write);
  CHECK(order.next() == &read);
}
