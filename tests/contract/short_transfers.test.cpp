// Transfers that are short in mid-file: by an engine, by a FUSE file system, and by real disks at the end of files.
#include "catch.hpp"
#include "every_executor.hpp"
#include "fuse.hpp"
#include "mounts.hpp"
#include "requests.hpp"

#include <map>

using namespace asioq_test;
using asioq::asio_op;

namespace {

/// Moves at most this many bytes a step, on descriptors with O_DIRECT too; from some offset on there is EIO.
class slow_engine : public io_engine_base {
 public:
  slow_engine(std::size_t step, std::uint64_t fails_at) : step_(step), fails_at_(fails_at) {}

  /// Has the descriptor's operations carried out on another, which takes any alignment.
  void carry_out_on(const descriptor& fd, const descriptor& plain) { plain_[fd.get()] = plain.get(); }

  void start(asioq::io_operation& operation) override { waiting_.push_back(&operation); }
  void poll() override {
    if (waiting_.empty()) return;
    asioq::io_operation& operation = *waiting_.back();
    waiting_.pop_back();
    operation.complete(carry_out(operation));
  }
  void wait_until(std::chrono::steady_clock::time_point) override { poll(); }

 private:
  std::int64_t carry_out(const asioq::io_operation& operation) {
    if (operation.offset() >= fails_at_) return -EIO;
    const auto most = std::min<std::uint64_t>(step_, fails_at_ - operation.offset());
    return asioq::perform(operation.op(), plain_.at(operation.fd()), operation.buffer().data(),
                          static_cast<std::size_t>(std::min<std::uint64_t>(operation.buffer().size(), most)),
                          operation.offset());
  }

  std::size_t step_;
  std::uint64_t fails_at_;
  std::map<int, int> plain_;
  std::vector<asioq::io_operation*> waiting_;
};

/// A file, open directly and with another descriptor that is not direct.
struct two_ways {
  descriptor plain;
  descriptor direct;
};

std::optional<two_ways> file_both_ways() {
  std::optional<descriptor> direct = direct_file();
  if (!direct) return std::nullopt;
  descriptor plain = reopen(*direct, O_RDWR);
  return two_ways{std::move(plain), std::move(*direct)};
}

}  // namespace

TEST_CASE("a direct transfer that is short in mid-file goes on: on an engine", "[transfer][short][direct]") {
  const std::optional<two_ways> file = file_both_ways();
  if (!file) {
    WARN(no_direct_io);
    return;
  }
  in_every_order([&](asioq::execution_order order) {
    const std::size_t step = GENERATE(1U, 512U, 1000U, 4097U, 70'000U);
    const std::size_t size = step == 1 ? 4096 : 65536;
    const std::string text = pattern(size + 9000);
    set_contents(file->plain, text);
    INFO(step << " bytes a step");
    const auto with_engine = [&](std::uint64_t fails_at, auto body) {
      slow_engine engine{step, fails_at};
      engine.carry_out_on(file->direct, file->plain);
      const world<any_io_executor> world{any_io_executor(engine), nullptr, false, order};
      auto queue = world.queue({.buffer_size = 1 << 17});
      body(queue);
    };
    with_engine(~std::uint64_t{0}, [&](auto& queue) {
      queue.submit(read_of(queue, file->direct, size, 0));
      queue.submit(read_of(queue, file->direct, size, 8192));  // to the end, which is not aligned
      queue.submit(read_of(queue, file->direct, 4096, 1 << 20));
      const std::vector<outcome> all = drain(queue);
      for (const outcome& one : all) CHECK_FALSE(one.error);
      CHECK((all[0].data == text.substr(0, size)));
      CHECK((all[1].data == text.substr(8192, size)));
      CHECK(all[2].bytes == 0);
      const std::string other = pattern(size, 5);
      queue.submit(write_of(queue, file->direct, other, 4096));
      queue.submit(write_back_of(queue, file->direct, other, 4096));
      CHECK(queue.wait().bytes_transferred() == size);
      CHECK_NOTHROW(queue.sync());
      CHECK((contents(file->plain) == text.substr(0, 4096) + other + text.substr(4096 + size)));
    });
    for (const std::uint64_t fails_at : {std::uint64_t{3000}, std::uint64_t{3072}, size - std::uint64_t{1}}) {
      with_engine(fails_at, [&](auto& queue) {
        queue.submit(read_of(queue, file->direct, size, 0));
        queue.submit(write_of(queue, file->direct, text.substr(0, size), 0));
        for (const outcome& one : drain(queue)) {
          CHECK(one.error == std::errc::io_error);
          CHECK(one.bytes == fails_at);
        }
      });
    }
  });
}

TEST_CASE("a bad sector behind 10752 bytes: those, and the error", "[transfer][short][direct]") {
  const std::optional<two_ways> file = file_both_ways();
  if (!file) {
    WARN(no_direct_io);
    return;
  }
  set_contents(file->plain, pattern(65536));
  in_every_order([&](asioq::execution_order order) {
    slow_engine engine{1000, 10752};
    engine.carry_out_on(file->direct, file->plain);
    const world<any_io_executor> world{any_io_executor(engine), nullptr, false, order};
    auto queue = world.queue({.buffer_size = 65536});
    const asioq::asio_request done = run(queue, read_of(queue, file->direct, 65536, 0));
    CHECK(done.error() == std::errc::io_error);
    CHECK(done.bytes_transferred() == 10752);
    CHECK((text_of(done.data()) == pattern(65536).substr(0, 10752)));
  });
}

TEST_CASE("a transfer that is short in mid-file goes on: on FUSE", "[transfer][short][fuse]") {
  const std::uint64_t step = GENERATE(1000U, 4096U, 10'000U);
  const std::unique_ptr<fuse_disk> disk = fuse_disk::make({.step = step, .fails_at = 74240, .size = 100'000});
  if (!disk) {
    WARN(no_fuse);
    return;
  }
  INFO(step << " bytes a message");
  const descriptor direct = disk->open("data", O_RDWR | O_DIRECT);
  const descriptor plain = disk->open("data", O_RDWR);
  in_every_order([&](asioq::execution_order order) {
    const auto body = [&](const auto& world) {
      auto queue = world.queue({.buffer_size = 65536});
      for (const descriptor* const file : {&direct, &plain}) {
        queue.submit(read_of(queue, *file, 65536, 0));
        queue.submit(read_of(queue, *file, 65536, 65536 - 2048));
        // (Linux makes an error of a short write to FUSE that io_uring has asked for.)
        if (world.has_threads) {
          queue.submit(write_of(queue, *file, fuse_disk::text(0, 65536), 0));
          queue.submit(write_of(queue, *file, fuse_disk::text(65536, 12288), 65536));
        }
        const std::vector<outcome> all = drain(queue);
        REQUIRE(all.size() == (world.has_threads ? 4 : 2));
        CHECK_FALSE(all[0].error);
        CHECK((all[0].data == fuse_disk::text(0, 65536)));
        CHECK(all[1].error == std::errc::io_error);
        CHECK((all[1].data == fuse_disk::text(65536 - 2048, 10752)));
        if (!world.has_threads) continue;
        CHECK_FALSE(all[2].error);
        CHECK(all[2].bytes == 65536);
        CHECK(all[3].error == std::errc::io_error);
        CHECK(all[3].bytes == 74240 - 65536);
      }
    };
    SECTION("on a pool") {
      asioq::thread_pool pool{2};
      forwarding_sink sink{pool.executor()};
      body(world<custom_executor>{{&sink}, nullptr, true, order});
    }
    on_io_executors(order, body);
  });
}

TEST_CASE("the end of a file on FUSE ends a read", "[transfer][short][fuse]") {
  const std::unique_ptr<fuse_disk> disk = fuse_disk::make({.step = 1000, .size = 10'001});
  if (!disk) {
    WARN(no_fuse);
    return;
  }
  asioq::thread_pool pool{2};
  asioq::basic_asio_queue<asioq::thread_pool::executor_type> queue{pool.executor()};
  for (const int flags : {O_RDWR, O_RDWR | O_DIRECT}) {
    const asioq::asio_request done = run(queue, read_of(queue, disk->open("data", flags), 65536, 0));
    CHECK_FALSE(done.error());
    CHECK((text_of(done.data()) == fuse_disk::text(0, 10'001)));
  }
}

TEST_CASE("a direct read at an unaligned end is short and successful on each file system",
          "[transfer][short][direct][mount]") {
  for (const std::string type : {"ext4", "xfs", "tmpfs"}) {
    const std::optional<descriptor> file = file_on(type, false);
    if (!file) {
      WARN("skipped: no " << type << " can be mounted");
      continue;
    }
    INFO(type);
    const std::string text = pattern(30'721);
    set_contents(*file, text);
    REQUIRE(::fsync(file->get()) == 0);
    const descriptor direct = reopen(*file, O_RDWR | O_DIRECT);
    const auto body = [&](const auto& world) {
      auto queue = world.queue({.buffer_size = 65536});
      queue.submit(read_of(queue, direct, 65536, 0));
      queue.submit(read_of(queue, direct, 8192, 28672));
      queue.submit(read_of(queue, direct, 4096, 32768));
      const std::vector<outcome> all = drain(queue);
      REQUIRE(all.size() == 3);
      for (const outcome& one : all) CHECK_FALSE(one.error);
      CHECK((all[0].data == text));
      CHECK((all[1].data == text.substr(28672)));
      CHECK(all[2].bytes == 0);
    };
    for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
      asioq::thread_pool pool{2};
      forwarding_sink sink{pool.executor()};
      body(world<custom_executor>{{&sink}, nullptr, true, order});
#ifdef ASIOQ_TEST_URING
      if (!asioq::uring_context::available()) continue;
      uring_engine engine;
      body(world<any_io_executor>{any_io_executor(engine), nullptr, false, order});
#endif
    }
  }
}

TEST_CASE("writes to FUSE files arrive one by one", "[merging][fuse]") {
  const std::unique_ptr<fuse_disk> disk = fuse_disk::make({});
  if (!disk) {
    WARN(no_fuse);
    return;
  }
  const descriptor file = disk->open("data", O_RDWR);
  std::uint64_t expected = 0;
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    pumped_sink sink;  // so that all are there before the first begins
    const world<custom_executor> world{{&sink}, &sink, false, order};
    auto queue = world.queue({.buffer_size = 4096, .max_writebacks = 32});
    for (std::uint64_t i = 0; i < 24; ++i) queue.submit(write_back_of(queue, file, pattern(100), i * 100));
    queue.sync();
    expected += 24;
    CHECK(disk->writes() == expected);
  }
}

TEST_CASE("a read that can go on only when the one before was seen is not merged with it", "[merging][fuse]") {
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    asioq::thread_pool pool{1};
    forwarding_sink sink{pool.executor()};
    const world<custom_executor> world{{&sink}, nullptr, true, order};
    auto queue = world.queue({.buffer_size = 512});
    {
      const pipe_ends pipe;
      pipe.put(std::string(512, 'a'));
      for (int i = 0; i < 2; ++i) queue.submit(read_of(queue, pipe.read_end, 512));
      CHECK(queue.wait().bytes_transferred() == 512);
      pipe.put("rest");
      CHECK(text_of(queue.wait().data()) == "rest");
    }
    const std::unique_ptr<fuse_disk> disk = fuse_disk::make({});
    if (!disk) {
      WARN(no_fuse);
      continue;
    }
    const descriptor chat = disk->open("chat", O_RDWR);
    for (std::uint64_t i = 0; i < 2; ++i) queue.submit(read_of(queue, chat, 512, i * 512));
    CHECK(queue.wait().bytes_transferred() == 512);
    REQUIRE(::pwrite(chat.get(), "go", 2, 0) == 2);
    CHECK(queue.wait().bytes_transferred() == 512);
  }
}
