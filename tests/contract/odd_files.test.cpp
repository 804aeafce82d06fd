// Files whose connections no inode number shows: as if serial, they give what the strict order gives.
#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <pty.h>
#include <termios.h>

using namespace asioq_test;

namespace {

struct sockets {
  descriptor one;
  descriptor two;

  explicit sockets(int type) {
    int fds[2];
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) throw_errno("socketpair");
    one = descriptor{fds[0]};
    two = descriptor{fds[1]};
  }
};

}  // namespace

TEST_CASE("what is written to one end of a socket pair can be read from the other, by one queue", "[odd_files]") {
  on_every_executor([](const auto& world) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
      const sockets pair(type);
      auto queue = world.queue({.buffer_size = 64});
      for (int i = 0; i < 20; ++i) {
        const std::string text = "message " + std::to_string(i);
        queue.submit(write_of(queue, pair.one, text));
        queue.submit(read_of(queue, pair.two, text.size()));
        queue.submit(write_of(queue, pair.two, text + "!"));
        queue.submit(read_of(queue, pair.one, text.size() + 1));
      }
      const std::vector<outcome> all = drain(queue);
      REQUIRE(all.size() == 80);
      for (std::size_t i = 0; i < 80; ++i) {
        CHECK_FALSE(all[i].error);
        CHECK(all[i].data == "message " + std::to_string(i / 4) + (i % 4 < 2 ? "" : "!"));
      }
    }
  });
}

TEST_CASE("an event counter counts in order", "[odd_files]") {
  on_every_executor([](const auto& world) {
    const descriptor event{::eventfd(0, EFD_CLOEXEC)};
    const descriptor same{::fcntl(event.get(), F_DUPFD_CLOEXEC, 0)};
    const descriptor other{::eventfd(7, EFD_CLOEXEC)};
    auto queue = world.queue({.buffer_size = 64});
    const auto add = [&](std::uint64_t value) {
      queue.submit(write_of(queue, event, {reinterpret_cast<const char*>(&value), sizeof value}));
    };
    for (std::uint64_t i = 1; i <= 20; ++i) {
      add(i);
      add(100);
      queue.submit(read_of(queue, same, 8));
    }
    queue.submit(read_of(queue, other, 8));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 61);
    const auto value_of = [](const outcome& one) {
      std::uint64_t value = 0;
      std::copy_n(one.data.data(), std::min(one.data.size(), sizeof value), reinterpret_cast<char*>(&value));
      return value;
    };
    for (std::size_t i = 0; i < 20; ++i) CHECK(value_of(all[3 * i + 2]) == i + 101);
    CHECK(value_of(all[60]) == 7);
  });
}

TEST_CASE("a pseudo terminal's two sides are one file", "[odd_files]") {
  on_every_executor([](const auto& world) {
    int fds[2];
    termios raw{};
    ::cfmakeraw(&raw);
    if (::openpty(&fds[0], &fds[1], nullptr, &raw, nullptr) != 0) {
      WARN("skipped: no pseudo terminal is to be had");
      return;
    }
    const descriptor master{fds[0]};
    const descriptor terminal{fds[1]};
    auto queue = world.queue({.buffer_size = 64});
    for (int i = 0; i < 10; ++i) {
      queue.submit(write_of(queue, master, "in" + std::to_string(i)));
      queue.submit(read_of(queue, terminal, 3));
      queue.submit(write_of(queue, terminal, "ou" + std::to_string(i)));
      queue.submit(read_of(queue, master, 3));
    }
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 40);
    for (std::size_t i = 0; i < 40; ++i) CHECK(all[i].data == (i % 4 < 2 ? "in" : "ou") + std::to_string(i / 4));
  });
}

TEST_CASE("what is written to one file of proc shows in another", "[odd_files]") {
  on_every_executor([](const auto& world) {
    const descriptor name = open_path("/proc/self/comm", O_RDWR);
    const descriptor status = open_path("/proc/self/status", O_RDONLY);
    const std::string before = [&] {
      std::string text(64, '\0');
      const ssize_t size = ::pread(name.get(), text.data(), text.size(), 0);
      return text.substr(0, static_cast<std::size_t>(std::max<ssize_t>(size, 1) - 1));
    }();
    auto queue = world.queue({.buffer_size = 64});
    for (int i = 0; i < 10; ++i) {
      queue.submit(write_of(queue, name, "asioq-" + std::to_string(i)));
      queue.submit(read_of(queue, status, 14, 0));
    }
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 20);
    for (std::size_t i = 0; i < 10; ++i) CHECK(all[2 * i + 1].data == "Name:\tasioq-" + std::to_string(i) + "\n");
    CHECK_FALSE(run(queue, write_of(queue, name, before)).error());
  });
}

TEST_CASE("files of sysfs, devices and regular files go their ways beside each other", "[odd_files]") {
  on_every_executor([](const auto& world) {
    const descriptor zero = open_path("/dev/zero", O_RDONLY);
    const descriptor null = open_path("/dev/null", O_WRONLY);
    const descriptor file = temp_file();
    const descriptor online = open_path("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
    auto queue = world.queue({.buffer_size = 512});
    for (std::uint64_t i = 0; i < 10; ++i) {
      queue.submit(read_of(queue, zero, 64));
      queue.submit(write_of(queue, null, "x"));
      queue.submit(write_of(queue, file, "abc", i * 3));
      queue.submit(read_of(queue, online, 512, 0));
    }
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 40);
    for (std::size_t i = 0; i < 40; ++i) {
      CHECK_FALSE(all[i].error);
      CHECK(all[i].data == all[i % 4].data);
    }
    CHECK(all[0].data == std::string(64, '\0'));
    CHECK(contents(file).size() == 30);
  });
}
