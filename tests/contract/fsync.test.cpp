#include <asioq/testing/simulated_disk.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "every_executor.hpp"
#include "mounts.hpp"
#include "requests.hpp"

using namespace asioq_test;
using asioq::asio_op;

TEST_CASE("fsync and fdatasync are requests in their place", "[fsync]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(write_back_of(queue, file, "a", 0));
    queue.submit(fsync_of(queue, file));
    queue.submit(write_of(queue, file, "b", 1));
    asioq::asio_request request = queue.get();
    request.prepare_fdatasync(file.get());
    queue.submit(std::move(request));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 3);
    CHECK(all[0].op == asio_op::fsync);
    CHECK(all[1].op == asio_op::write);
    CHECK(all[2].op == asio_op::fdatasync);
    for (const outcome& one : all) CHECK_FALSE(one.error);
    CHECK(all[0].bytes == 0);
    CHECK(contents(file) == "ab");
  });
}

TEST_CASE("as if serial, what is younger passes a sync without a barrier", "[fsync]") {
  using asioq::sync_barrier;
  in_every_order([](asioq::execution_order order) {
    for (const sync_barrier barrier : {sync_barrier::full, sync_barrier::none}) {
      asioq::testing::simulated_disk disk{{.short_transfers = 0, .interruptions = 0}};
      asioq::basic_asio_queue<asioq::testing::simulated_disk::executor_type> queue{
          disk.executor(), {.buffer_size = 512, .order = order}};
      const int fd = disk.open("file");
      const auto write = [&](std::string_view text, std::uint64_t offset) {
        asioq::asio_request request = queue.get();
        set_text(request, text);
        request.prepare_write(fd, text.size(), offset);
        queue.submit(std::move(request));
      };
      const auto sync = [&] {
        asioq::asio_request request = queue.get();
        request.prepare_fdatasync(fd, barrier);
        queue.submit(std::move(request));
      };
      disk.fail_next(asio_op::fdatasync, std::errc::io_error, 1);
      write("one", 0);
      sync();
      write("two", 3);
      const bool passes = barrier == sync_barrier::none && order == asioq::execution_order::as_if_serial;
      const std::vector<std::string>& log = disk.log();
      const auto place_of = [&](std::string_view what) {
        const auto its =
            std::ranges::find_if(log, [&](const std::string& line) { return line.find(what) != std::string::npos; });
        return its - log.begin();
      };
      while (queue.wait()) {
      }
      CHECK((place_of("3 bytes at 3") < place_of("fdatasync")) == passes);
      sync();
      sync();
      for (int i = 0; i < 2; ++i) CHECK(queue.wait().error() == std::errc::io_error);  // the second inherits it
      CHECK(text_of(disk.contents("file")) == "onetwo");
    }
  });
}

TEST_CASE("an fsync that the kernel refuses fails", "[fsync][fault]") {
  on_every_executor([](const auto& world) {
    const pipe_ends pipe;
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    CHECK(run(queue, fsync_of(queue, pipe.write_end)).error() == std::errc::invalid_argument);
    CHECK_FALSE(run(queue, fsync_of(queue, file)).error());  // other files do not suffer
    CHECK_NOTHROW(queue.sync());
  });
}

TEST_CASE("files that cannot be synchronised do not fail the fsync of others", "[fsync][fault]") {
  on_every_executor([](const auto& world) {
    const pipe_ends one;
    const pipe_ends two;
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    CHECK(run(queue, fsync_of(queue, one.write_end)).error() == std::errc::invalid_argument);
    CHECK(run(queue, fsync_of(queue, two.write_end)).error() == std::errc::invalid_argument);
    CHECK_FALSE(run(queue, fsync_of(queue, file)).error());
  });
}

TEST_CASE("a failed fsync is never followed by a successful one, until resume", "[fsync][fault][latch]") {
  on_every_executor([](const auto& world) {
    const std::optional<failing_disk> disk = failing_disk::make(1 << 20, 256 << 10);
    if (!disk) {
      WARN(no_loop_devices);
      return;
    }
    const descriptor file = temp_file();
    const descriptor again = reopen(disk->device(), O_RDWR);
    auto queue = world.queue({.buffer_size = 1 << 20});
    queue.submit(write_back_of(queue, disk->device(), std::string(1 << 20, 'x'), 0));
    queue.submit(fsync_of(queue, disk->device()));
    queue.submit(fsync_of(queue, disk->device()));
    queue.submit(fsync_of(queue, again));
    asioq::asio_request request = queue.get();
    request.prepare_fdatasync(disk->device().get());
    queue.submit(std::move(request));
    queue.submit(fsync_of(queue, file));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 5);
    CHECK(all[0].error == std::errc::io_error);
    for (std::size_t i = 1; i < 4; ++i) CHECK(all[i].error == all[0].error);
    CHECK_FALSE(all[4].error);

    CHECK(run(queue, fsync_of(queue, disk->device())).error() == all[0].error);
    queue.resume();
    CHECK_FALSE(run(queue, fsync_of(queue, disk->device())).error());  // the kernel has forgotten it
  });
}

namespace {

/// A simulated disk that fails the fsyncs of two files, each in its own way.
class two_bad_files : public simulated_disk {
 public:
  two_bad_files(std::uint64_t seed, const descriptor& first, const descriptor& second)
      : simulated_disk(seed), first_(first.get()), second_(second.get()) {}

 protected:
  std::int64_t transfer(const asioq::io_operation& operation, std::size_t length) override {
    if (operation.fd() == first_) return -EIO;
    if (operation.fd() == second_) return -EDQUOT;
    return simulated_disk::transfer(operation, length);
  }

 private:
  int first_;
  int second_;
};

}  // namespace

TEST_CASE("failed fsyncs of several files have nothing to do with each other, in any order", "[fsync][latch]") {
  const descriptor one = temp_file();
  const descriptor two = temp_file();
  const descriptor three = temp_file();
  two_bad_files disk{run_seed(), one, two};
  in_every_order([&](asioq::execution_order order) {
    const world<any_io_executor> simulated{any_io_executor(disk), nullptr, false, order};
    auto queue = simulated.queue({.buffer_size = 512});
    for (int i = 0; i < 2; ++i)
      for (const descriptor* file : {&one, &two, &three}) queue.submit(fsync_of(queue, *file));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 6);
    for (const std::size_t i : {0U, 3U}) {
      CHECK(all[i].error == std::errc::io_error);
      CHECK(all[i + 1].error == std::error_code(EDQUOT, std::system_category()));
      CHECK_FALSE(all[i + 2].error);
    }
  });
}
