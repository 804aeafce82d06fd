// Which thread asks the kernel about files, and when: not the owner in a call that does not block.
#include "calls.hpp"
#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

#include <deque>
#include <map>

using namespace asioq_test;
using asioq::asio_op;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

namespace {

/// How many questions the calling thread asks meanwhile.
template <class Body>
long asked_in(Body body) {
  const long before = questions_here;
  body();
  return questions_here - before;
}

template <class Queue>
void submit_some(Queue& queue, const descriptor& one, const descriptor& two, bool at_position = true) {
  for (std::uint64_t i = 0; i < 4; ++i) {
    queue.submit(write_back_of(queue, one, "abcd", i * 4));
    queue.submit(read_of(queue, two, 4, i * 4));
    if (at_position) queue.submit(read_of(queue, two, 4));
    queue.submit(fsync_of(queue, one));
  }
}

}  // namespace

TEST_CASE("questions are counted", "[questions]") {
  const descriptor file = temp_file();
  struct stat status{};
  CHECK(asked_in([&] { static_cast<void>(::fstat(file.get(), &status)); }) == 1);
  CHECK(asked_in([&] { static_cast<void>(::fcntl(file.get(), F_GETFL)); }) == 1);
  CHECK(status.st_nlink == 0);
}

TEST_CASE("on executors of tasks no call that does not block asks about files", "[questions]") {
  in_every_order([](asioq::execution_order order) {
    on_threaded_executors(order, [](const auto& world) {
      const descriptor one = temp_file();
      const descriptor two = temp_file_with(pattern(100));
      auto queue = world.queue({.buffer_size = 512, .max_writebacks = 64});
      const long asked = asked_in([&] {
        submit_some(queue, one, two);
        std::size_t left = 12;
        while (left > 0) {
          if (queue.try_wait()) --left;
          if (queue.wait_for(1us)) --left;
          std::this_thread::yield();
        }
        queue.resume();
        queue.shrink_to_fit();
      });
      CHECK(asked == 0);
    });
    SECTION("on an executor that is pumped by hand") {
      pumped_sink sink;
      const world<custom_executor> world{{&sink}, &sink, false, order};
      const descriptor one = temp_file();
      const descriptor two = temp_file_with(pattern(100));
      auto queue = world.queue({.buffer_size = 512, .max_writebacks = 64});
      CHECK(asked_in([&] {
              submit_some(queue, one, two);
              static_cast<void>(queue.try_wait());
              static_cast<void>(queue.wait_for(1ms));
            }) == 0);
      queue.sync();
    }
  });
}

TEST_CASE("a slow answer about one file does not hold up calls for others", "[questions]") {
  asioq::thread_pool pool{3};
  const pipe_ends pipe;
  const descriptor slow = temp_file_with("slow");
  const descriptor other = temp_file_with("other");
  const asioq::queue_options options{.buffer_size = 512, .order = asioq::execution_order::as_if_serial};
  asioq::basic_asio_queue<asioq::thread_pool::executor_type> queue{pool.executor(), options};
  asioq::basic_asio_queue<asioq::thread_pool::executor_type> neighbour{pool.executor(), options};
  question_gate gate{slow.get()};
  queue.submit(read_of(queue, pipe.read_end, 1));  // unfinished while the others come, so they have to be told apart
  queue.submit(read_of(queue, slow, 4, 0));
  queue.submit(read_of(queue, slow, 4, 1));
  gate.await_visitor();
  const auto begin = steady_clock::now();
  for (int i = 0; i < 20; ++i) {
    queue.submit(read_of(queue, other, 5, 0));
    static_cast<void>(queue.try_wait());
  }
  static_cast<void>(queue.wait_for(2ms));
  CHECK(run(neighbour, read_of(neighbour, other, 5, 0)).bytes_transferred() == 5);
  CHECK(steady_clock::now() - begin < 10s);  // it would be for ever
  gate.open();
  pipe.put("x");
  queue.sync();
}

TEST_CASE("in strict order on an io_executor the queue asks nothing", "[questions]") {
  const auto in_strict_order = [](const any_io_executor& executor, bool at_position) {
    const world<any_io_executor> world{executor, nullptr, false, asioq::execution_order::strict};
    const descriptor one = temp_file();
    const descriptor two = temp_file_with(pattern(100));
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 64});
    CHECK(asked_in([&] {
            submit_some(queue, one, two, at_position);
            queue.sync();
            while (queue.wait()) {
            }
          }) == 0);
  };
  class quiet_disk : public simulated_disk {  // the other one asks for the flags itself
   public:
    using simulated_disk::simulated_disk;
    void poll() override { wait_until({}); }
    void start(asioq::io_operation& operation) override { waiting_.push_back(&operation); }
    void wait_until(steady_clock::time_point) override {
      if (waiting_.empty()) return;
      asioq::io_operation& operation = *waiting_.front();
      waiting_.pop_front();
      operation.complete(asioq::perform(operation));
    }

   private:
    std::deque<asioq::io_operation*> waiting_;
  };
  quiet_disk disk{run_seed()};
  in_strict_order(any_io_executor(disk), true);
#ifdef ASIOQ_TEST_URING
  if (asioq::uring_context::available()) {
    uring_engine engine;
    in_strict_order(any_io_executor(engine), false);  // it looks at positions, to mend what Linux does to them
  }
#endif
}

namespace {

/// Files in memory, by descriptors of its own, of which it knows all.
class described_engine {
 public:
  struct executor_type {
    described_engine* its;
    void start(asioq::io_operation& operation) const { its->waiting_.push_back(&operation); }
    void poll() const { its->complete_youngest(); }
    void wait_until(steady_clock::time_point) const { its->complete_youngest(); }
    asioq::file_facts describe(int fd) const noexcept { return its->facts(fd); }
    bool operator==(const executor_type&) const = default;
  };

  executor_type executor() { return {this}; }
  /// Two descriptors of one file: `2 * file` and `2 * file + 1`, beyond those of the kernel.
  static int descriptor_of(int file, int which) { return 1'000'000 + 2 * file + which; }

  std::map<int, std::string> files;
  std::map<int, int> sync_errors;  // by file: the error of the next sync
  std::map<int, std::uint64_t> generations;
  std::size_t most = 0;
  long syncs = 0;

 private:
  static int file_of(int fd) { return (fd - 1'000'000) / 2; }

  asioq::file_facts facts(int fd) noexcept {
    const int file = file_of(fd);
    return {.identity = {.volume = 5, .file = static_cast<std::uint64_t>(file), .generation = generations[file]},
            .size = files[file].size()};
  }

  void complete_youngest() {
    if (waiting_.empty()) return;
    most = std::max(most, waiting_.size());
    asioq::io_operation& operation = *waiting_.back();
    waiting_.pop_back();
    operation.complete(carry_out(operation));
  }

  std::int64_t carry_out(asioq::io_operation& operation) {
    const int file = file_of(operation.fd());
    std::string& text = files[file];
    const auto place = static_cast<std::size_t>(operation.offset());
    const std::span<std::byte> buffer = operation.buffer();
    switch (operation.op()) {
      case asio_op::read: {
        const std::string part = place < text.size() ? text.substr(place, buffer.size()) : "";
        std::ranges::copy(std::as_bytes(std::span(part)), buffer.begin());
        return static_cast<std::int64_t>(part.size());
      }
      case asio_op::write:
        text.resize(std::max(text.size(), place + buffer.size()));
        text.replace(place, buffer.size(), text_of(buffer));
        return static_cast<std::int64_t>(buffer.size());
      case asio_op::truncate:
        text.resize(place);
        return 0;
      case asio_op::fsync:
      case asio_op::fdatasync:
        ++syncs;
        return -std::exchange(sync_errors[file], 0);
      default:
        return 0;
    }
  }

  std::vector<asioq::io_operation*> waiting_;
};
static_assert(asioq::io_executor<described_engine::executor_type>);

using described_queue = asioq::basic_asio_queue<described_engine::executor_type>;

asioq::asio_request described(described_queue& queue, asio_op op, int fd, std::string_view text, std::uint64_t offset) {
  asioq::asio_request request = queue.get();
  set_text(request, text);
  if (op == asio_op::read) request.prepare_read(fd, text.size(), offset);
  if (op == asio_op::write) request.prepare_write(fd, text.size(), offset);
  if (op == asio_op::fsync) request.prepare_fsync(fd);
  if (op == asio_op::truncate) request.prepare_truncate(fd, offset);
  return request;
}

}  // namespace

TEST_CASE("an engine that describes its files is asked instead of the kernel", "[questions][io_executor]") {
  in_every_order([](asioq::execution_order order) {
    described_engine engine;
    const int one = described_engine::descriptor_of(1, 0);
    const int same = described_engine::descriptor_of(1, 1);
    const int other = described_engine::descriptor_of(2, 0);
    const long before = questions;
    {
      described_queue queue{engine.executor(), {.buffer_size = 512, .order = order, .max_in_flight = 16}};
      queue.submit(described(queue, asio_op::write, one, "one", 0));
      queue.submit(described(queue, asio_op::write, other, "other", 0));
      queue.submit(described(queue, asio_op::read, same, "......", 0));
      queue.submit(described(queue, asio_op::write, same, "XY", 1));
      queue.submit(described(queue, asio_op::read, one, "...", 0));
      queue.submit(described(queue, asio_op::truncate, one, "", 2));
      queue.submit(described(queue, asio_op::read, same, ".....", 0));
      queue.submit(described(queue, asio_op::fsync, one, "", 0));
      const std::vector<outcome> all = drain(queue);
      REQUIRE(all.size() == 8);
      for (const outcome& one_of_all : all) CHECK_FALSE(one_of_all.error);
      CHECK(all[2].data == "one");
      CHECK(all[4].data == "oXY");
      CHECK(all[6].data == "oX");
      CHECK(engine.files[2] == "other");
    }
    CHECK(engine.most == (order == asioq::execution_order::strict ? 1 : 2));
    CHECK(questions == before);
  });
}

TEST_CASE("a failed fsync is remembered by what the engine says the file is", "[questions][io_executor][latch]") {
  in_every_order([](asioq::execution_order order) {
    described_engine engine;
    const int one = described_engine::descriptor_of(1, 0);
    const int same = described_engine::descriptor_of(1, 1);
    const int other = described_engine::descriptor_of(2, 0);
    engine.sync_errors[1] = EIO;
    const long before = questions;
    described_queue queue{engine.executor(), {.buffer_size = 512, .order = order}};
    const auto sync = [&](int fd) { return run(queue, described(queue, asio_op::fsync, fd, "", 0)).error().value(); };
    CHECK(sync(one) == EIO);
    CHECK(sync(same) == EIO);
    CHECK(engine.syncs == 1);
    CHECK(sync(other) == 0);
    engine.generations[1] = 1;  // another file with the same number
    CHECK(sync(one) == 0);
    CHECK(engine.syncs == 3);
    CHECK(questions == before);
  });
}
