#include "catch.hpp"
#include "every_executor.hpp"
#include "faults.hpp"
#include "mounts.hpp"
#include "requests.hpp"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <fstream>

using namespace asioq_test;
using asioq::asio_op;

namespace {

/// How many system calls this process has made to read, or to write; nothing where the kernel does not count them.
std::optional<long> calls(const std::string& kind) {
  std::ifstream counters("/proc/self/io");
  std::string name;
  for (long count = 0; counters >> name >> count;)
    if (name == kind + ":") return count;
  return std::nullopt;
}

/// What `submissions` to a queue with these options cost, when all are there before the first is carried out: the first
/// system calls to look at are those of the owner's sync().
template <class Submissions>
long calls_for(const std::string& kind, asioq::queue_options options, Submissions submissions) {
  pumped_sink sink;
  asioq::basic_asio_queue<custom_executor> queue{custom_executor{&sink}, std::move(options)};
  submissions(queue);
  const std::optional<long> before = calls(kind);
  queue.sync();
  const std::optional<long> after = calls(kind);
  // Reading the counters is a read as well: what that costs is found out by doing it once more.
  const std::optional<long> again = calls(kind);
  if (!before || !after || !again) throw std::runtime_error("the kernel does not count system calls");
  while (queue.wait()) {
  }
  return (*after - *before) - (*again - *after);
}

asioq::queue_options with(asioq::execution_order order, asioq::failure_policy policy = asioq::failure_policy::proceed) {
  return {.buffer_size = 4096, .max_writebacks = 32, .order = order, .on_failure = policy};
}

bool are_counted() {
  if (calls("syscw")) return true;
  WARN("skipped: the kernel does not count system calls");
  return false;
}

}  // namespace

TEST_CASE("requests that continue each other leave in one system call", "[merging]") {
  if (!are_counted()) return;
  in_every_order([](asioq::execution_order order) {
    const std::string text = pattern(16 * 4096);
    const descriptor file = temp_file_with("x");
    const auto write_backs = [&](auto& queue) {
      for (std::size_t i = 0; i < 16; ++i)
        queue.submit(write_back_of(queue, file, std::string_view(text).substr(i * 4096, 4096), i * 4096));
    };
    CHECK(calls_for("syscw", with(order), write_backs) == 1);
    CHECK((contents(file) == text));
    const auto reads = [&](auto& queue) {
      for (std::size_t i = 0; i < 16; ++i) queue.submit(read_of(queue, file, 4096, i * 4096));
    };
    // A burst that is waited for begins with a smaller call, so that its first result comes early.
    CHECK(calls_for("syscr", with(order), reads) <= 2);
    const auto reads_with_a_gap = [&](auto& queue) {
      for (std::size_t i = 0; i < 16; ++i) queue.submit(read_of(queue, file, 4096, (i + i / 8) * 4096));
    };
    CHECK(calls_for("syscr", with(order), reads_with_a_gap) == 3);  // the last one, beyond the end, alone
  });
}

TEST_CASE("requests at the position of a regular file leave in one system call", "[merging]") {
  if (!are_counted()) return;
  const descriptor file = temp_file_with("x");
  const auto writes = [&](auto& queue) {
    for (std::size_t i = 0; i < 8; ++i) queue.submit(write_of(queue, file, pattern(1000, static_cast<unsigned>(i))));
  };
  CHECK(calls_for("syscw", with(asioq::execution_order::strict), writes) == 1);
  CHECK(contents(file).size() == 8000);
}

TEST_CASE("what has to stay apart is not merged", "[merging]") {
  if (!are_counted()) return;
  in_every_order([](asioq::execution_order order) {
    const descriptor file = temp_file_with("x");
    const descriptor other = temp_file_with("x");
    const descriptor same = reopen(file, O_RDWR);
    SECTION("under failure_policy::hold") {
      const auto writes = [&](auto& queue) {
        for (std::size_t i = 0; i < 4; ++i) queue.submit(write_of(queue, file, "abcd", i * 4));
      };
      CHECK(calls_for("syscw", with(order, asioq::failure_policy::hold), writes) == 4);
    }
    SECTION("other files, other descriptors, gaps and overlaps") {
      const auto writes = [&](auto& queue) {
        queue.submit(write_of(queue, file, "abcd", 0));
        queue.submit(write_of(queue, other, "abcd", 4));
        queue.submit(write_of(queue, same, "abcd", 8));
        queue.submit(write_of(queue, same, "abcd", 13));
        queue.submit(write_of(queue, same, "abcd", 16));
      };
      CHECK(calls_for("syscw", with(order), writes) == 5);
    }
    SECTION("where each has to be on the disk before the next begins") {
      const descriptor synchronous = reopen(file, O_RDWR | O_DSYNC);
      const auto writes = [&](auto& queue) {
        for (std::size_t i = 0; i < 4; ++i) queue.submit(write_of(queue, synchronous, "abcd", i * 4));
      };
      CHECK(calls_for("syscw", with(order), writes) == 4);
    }
    SECTION("in what is no file on a disk") {
      const descriptor null = open_path("/dev/null", O_RDWR);
      const auto writes = [&](auto& queue) {
        for (std::size_t i = 0; i < 4; ++i) queue.submit(write_of(queue, null, "abcd", i * 4));
      };
      CHECK(calls_for("syscw", with(order), writes) == 4);
      const descriptor pseudo = open_path("/proc/self/status", O_RDONLY);  // it says that it is a regular file
      const auto reads = [&](auto& queue) {
        for (std::size_t i = 0; i < 4; ++i) queue.submit(read_of(queue, pseudo, 16, i * 16));
      };
      CHECK(calls_for("syscr", with(order), reads) == 4);
    }
    SECTION("what is large enough by itself") {
      auto options = with(order);
      options.buffer_size = 200'000;
      const std::string large(200'000, 'x');
      const auto writes = [&](auto& queue) {
        for (std::size_t i = 0; i < 4; ++i) queue.submit(write_of(queue, file, large, i * large.size()));
      };
      CHECK(calls_for("syscw", options, writes) == 4);
    }
  });
}

TEST_CASE("direct parts are merged if each could be transferred alone for certain", "[merging][direct]") {
  if (!are_counted()) return;
  const std::optional<descriptor> file = direct_file();
  if (!file) {
    WARN(no_direct_io);
    return;
  }
  set_contents(reopen(*file, O_RDWR), pattern(65536));
  in_every_order([&](asioq::execution_order order) {
    for (const std::size_t size : {std::size_t{512}, std::size_t{1536}, std::size_t{4096}}) {
      const long expected = size == 4096 ? 1 : 8;
      const auto reads = [&](auto& queue) {
        for (std::size_t i = 0; i < 8; ++i) queue.submit(read_of(queue, *file, size, i * size));
      };
      const auto write_backs = [&](auto& queue) {
        for (std::size_t i = 0; i < 8; ++i)
          queue.submit(write_back_of(queue, *file, pattern(65536).substr(i * size, size), i * size));
      };
      INFO(size << " bytes");
      CHECK(calls_for("syscr", with(order), reads) == expected);
      try {
        CHECK(calls_for("syscw", with(order), write_backs) == expected);
      } catch (const asioq::write_back_error&) {  // sectors are larger here: each fails, as it would alone
        CHECK(size != 4096);
      }
    }
    CHECK((contents(reopen(*file, O_RDONLY)) == pattern(65536)));
  });
}

TEST_CASE("what has to be on the disk one by one is not merged", "[merging][mount]") {
  if (!are_counted()) return;
  in_every_order([](asioq::execution_order order) {
    const auto writes_to = [&](const descriptor& file) {
      return calls_for("syscw", with(order), [&](auto& queue) {
        for (std::size_t i = 0; i < 8; ++i) queue.submit(write_of(queue, file, "abcd", i * 4));
      });
    };
    const auto reads_of = [&](const descriptor& file) {
      return calls_for("syscr", with(order), [&](auto& queue) {
        for (std::size_t i = 0; i < 8; ++i) queue.submit(read_of(queue, file, 4, i * 4));
      });
    };
    for (const std::string type : {"ext4", "tmpfs"}) {
      for (const bool sync : {false, true}) {
        const std::optional<descriptor> file = file_on(type, sync);
        if (!file) {
          WARN("skipped: no " << type << " can be mounted");
          continue;
        }
        INFO(type << (sync ? " -o sync" : ""));
        CHECK(writes_to(*file) == (sync ? 8 : 1));
        CHECK(reads_of(*file) == 1);
        CHECK(writes_to(reopen(*file, O_RDWR | O_SYNC)) == 8);
        CHECK(writes_to(reopen(*file, O_RDWR | O_DSYNC)) == 8);
        int attributes = 0;
        if (::ioctl(file->get(), FS_IOC_GETFLAGS, &attributes) != 0) continue;
        attributes |= FS_SYNC_FL;
        if (::ioctl(file->get(), FS_IOC_SETFLAGS, &attributes) != 0) continue;  // chattr +S
        CHECK(writes_to(*file) == 8);
        CHECK(reads_of(*file) == 1);
      }
    }
  });
}

TEST_CASE("messages stay messages", "[merging]") {
  on_every_executor([](const auto& world) {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) throw_errno("socketpair");
    const descriptor one{fds[0]};
    const descriptor two{fds[1]};
    auto queue = world.queue({.buffer_size = 512});
    for (const char* const text : {"first", "second", "third"}) queue.submit(write_of(queue, one, text));
    for (const outcome& done : drain(queue)) CHECK_FALSE(done.error);
    for (int i = 0; i < 3; ++i) queue.submit(read_of(queue, two, 512));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 3);
    CHECK(all[0].data == "first");
    CHECK(all[1].data == "second");
    CHECK(all[2].data == "third");
  });
}

TEST_CASE("merged or not, each read has what it would have alone", "[merging]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(1000);
    const descriptor file = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 512});
    const bool at_position = GENERATE(false, true);
    for (std::size_t i = 0; i < 6; ++i)
      queue.submit(read_of(queue, file, 300, at_position ? asioq::current_position : i * 300));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 6);
    for (std::size_t i = 0; i < 6; ++i) {
      CHECK_FALSE(all[i].error);
      CHECK(all[i].data == (i < 4 ? text.substr(i * 300, 300) : ""));
    }
  });
}

TEST_CASE("merged or not, only what fails has an error", "[merging][fault]") {
  on_every_executor_in_strict_order([](const auto& world) {  // else it is open which request finds the disk full
    const std::optional<descriptor> file = file_on_small_tmpfs(16 * 4096);
    if (!file) {
      WARN(no_mounts);
      return;
    }
    const std::string text = pattern(6 * 8192);
    auto queue = world.queue({.buffer_size = 8192});
    queue.submit(write_of(queue, *file, std::string(8192, 'x'), 5 * 8192 + 4096));
    CHECK_FALSE(queue.wait().error());
    // Of 16 pages two are taken. The first six writes need twelve, of which one is there already. The others find
    // three.
    for (std::size_t i = 0; i < 6; ++i)
      queue.submit(write_of(queue, *file, std::string_view(text).substr(i * 8192, 8192), i * 8192));
    for (std::size_t i = 8; i < 11; ++i) queue.submit(write_of(queue, *file, std::string(8192, 'y'), i * 8192));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 9);
    for (std::size_t i = 0; i < 7; ++i) CHECK_FALSE(all[i].error);
    CHECK(all[7].error == std::errc::no_space_on_device);
    CHECK(all[7].bytes == 4096);
    CHECK(all[8].error == std::errc::no_space_on_device);
    CHECK(all[8].bytes == 0);
    CHECK((contents(*file).substr(0, text.size()) == text));
  });
}
