#include "faults.hpp"
#include "catch.hpp"
#include "every_executor.hpp"
#include "mounts.hpp"
#include "requests.hpp"

using namespace asioq_test;

namespace {

/// Runs the body on every executor with a file that is open with O_DIRECT, where there can be one.
template <class Body>
void with_direct_file(Body body) {
  on_every_executor([&](const auto& world) {
    const std::optional<descriptor> file = direct_file();
    if (!file) {
      WARN(no_direct_io);
      return;
    }
    body(world, *file);
  });
}

}  // namespace

TEST_CASE("a write to a full device fails with no bytes moved", "[fault]") {
  on_every_executor([](const auto& world) {
    const descriptor full = open_path("/dev/full", O_RDWR);
    auto queue = world.queue({.buffer_size = 4096});
    const asioq::asio_request done = run(queue, write_of(queue, full, "lost?"));
    CHECK(done.error() == std::errc::no_space_on_device);
    CHECK(done.bytes_transferred() == 0);
    CHECK(done.data().empty());
    CHECK(text_of(done.buffer().first(5)) == "lost?");
  });
}

// (io_uring ignores the offset of a transfer on a pipe, where pread(2) refuses it.)
TEST_CASE("a descriptor that does not allow the operation makes it fail", "[fault]") {
  on_every_task_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    const descriptor read_only = reopen(file, O_RDONLY);
    const descriptor write_only = reopen(file, O_WRONLY);
    const descriptor directory = open_path("/", O_RDONLY | O_DIRECTORY);
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 4096});
    queue.submit(write_of(queue, read_only, "x", 0));
    queue.submit(write_of(queue, read_only, "x"));
    queue.submit(read_of(queue, write_only, 3, 0));
    queue.submit(read_of(queue, write_only, 3));
    queue.submit(read_of(queue, directory, 3, 0));
    queue.submit(read_of(queue, pipe.read_end, 3, 0));
    queue.submit(write_of(queue, pipe.write_end, "x", 0));
    queue.submit(read_of(queue, file, 3, 0));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 8);
    for (std::size_t i = 0; i < 4; ++i) CHECK(all[i].error == std::errc::bad_file_descriptor);
    CHECK(all[4].error == std::errc::is_a_directory);
    CHECK(all[5].error == std::errc::invalid_seek);
    CHECK(all[6].error == std::errc::invalid_seek);
    CHECK(all[7].data == "abc");
  });
}

TEST_CASE("a closed descriptor makes the operation fail", "[fault]") {
  on_every_executor([](const auto& world) {
    descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 4096});
    asioq::asio_request request = write_of(queue, file, "abc", 0);
    asioq::asio_request other = fsync_of(queue, file);
    file.reset();
    CHECK(run(queue, std::move(request)).error() == std::errc::bad_file_descriptor);
    CHECK(run(queue, std::move(other)).error() == std::errc::bad_file_descriptor);
  });
}

TEST_CASE("a pipe without a reader makes a write fail", "[fault][pipe]") {
  on_every_executor([](const auto& world) {
    const signal_action ignore(SIGPIPE, SIG_IGN);
    pipe_ends pipe;
    pipe.read_end.reset();
    auto queue = world.queue({.buffer_size = 4096});
    CHECK(run(queue, write_of(queue, pipe.write_end, "x")).error() == std::errc::broken_pipe);
  });
}

// (io_uring heeds the limit in its own way: docs/how-to/choose-an-executor.md.)
TEST_CASE("a write that stops at the file size limit reports the bytes before it and the error", "[fault][short]") {
  on_every_task_executor([](const auto& world) {
    const std::string text = pattern(65536);
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 65536});
    std::vector<outcome> all;
    {
      const file_size_limit limit(36864);
      queue.submit(write_of(queue, file, text, 0));
      queue.submit(write_of(queue, file, text));
      all = drain(queue);
    }
    REQUIRE(all.size() == 2);
    for (const outcome& one : all) {
      CHECK(one.error == std::errc::file_too_large);
      CHECK(one.bytes == 36864);
    }
    CHECK((contents(file) == text.substr(0, 36864)));
  });
}

TEST_CASE("a write that fills the file system reports the bytes before it and the error", "[fault][short]") {
  on_every_executor([](const auto& world) {
    const std::optional<descriptor> file = file_on_small_tmpfs(40960);
    if (!file) {
      WARN(no_mounts);
      return;
    }
    const std::string text = pattern(65536);
    auto queue = world.queue({.buffer_size = 65536});
    const asioq::asio_request done = run(queue, write_of(queue, *file, text, 0));
    CHECK(done.error() == std::errc::no_space_on_device);
    CHECK(done.bytes_transferred() == 40960);
    CHECK((text_of(done.buffer()) == text));
    CHECK((contents(*file) == text.substr(0, 40960)));
  });
}

TEST_CASE("a write at the position that fills the file system does so once, and moves the position", "[fault][short]") {
  on_every_executor([](const auto& world) {
    for (const int flags : {O_RDWR, O_RDWR | O_APPEND}) {
      const std::optional<descriptor> whole = file_on_small_tmpfs(40960);
      if (!whole) {
        WARN(no_mounts);
        return;
      }
      const descriptor file = reopen(*whole, flags);
      const std::string text = pattern(65536);
      auto queue = world.queue({.buffer_size = 65536});
      queue.submit(write_of(queue, file, text));
      queue.submit(read_of(queue, file, 100));
      const std::vector<outcome> all = drain(queue);
      REQUIRE(all.size() == 2);
      CHECK(all[0].error == std::errc::no_space_on_device);
      CHECK(all[0].bytes == 40960);
      CHECK_FALSE(all[1].error);
      CHECK(all[1].bytes == 0);
      CHECK((contents(file) == text.substr(0, 40960)));
    }
  });
}

TEST_CASE("direct transfers work with the buffers as they are", "[fault][direct]") {
  with_direct_file([](const auto& world, const descriptor& file) {
    const std::string text = pattern(65536);
    auto queue = world.queue({.buffer_size = 65536});
    queue.submit(write_back_of(queue, file, text, 0));
    queue.submit(write_of(queue, file, text.substr(0, 4096), 65536));
    queue.submit(read_of(queue, file, 65536, 4096));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 2);
    CHECK((!all[0].error && all[0].bytes == 4096));
    CHECK(!all[1].error);
    CHECK((all[1].data == text.substr(4096) + text.substr(0, 4096)));
  });
}

TEST_CASE("direct transfers at the position move it", "[fault][direct]") {
  with_direct_file([](const auto& world, const descriptor& file) {
    const std::string text = pattern(4 * 4096);
    auto queue = world.queue({.buffer_size = 4096});
    for (std::size_t i = 0; i < 4; ++i) queue.submit(write_of(queue, file, text.substr(i * 4096, 4096)));
    for (const outcome& one : drain(queue)) CHECK((!one.error && one.bytes == 4096));
    CHECK(::lseek(file.get(), 0, SEEK_CUR) == 4 * 4096);
    CHECK((contents(reopen(file, O_RDONLY)) == text));
    REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
    for (int i = 0; i < 5; ++i) queue.submit(read_of(queue, file, 4096));
    std::string found;
    for (const outcome& one : drain(queue)) found += one.data;
    CHECK((found == text));
    const descriptor appending = reopen(file, O_RDWR | O_APPEND | O_DIRECT);
    for (std::size_t i = 0; i < 2; ++i) queue.submit(write_of(queue, appending, text.substr(0, 4096)));
    queue.submit(read_of(queue, appending, 4096));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 3);
    CHECK(all[2].bytes == 0);
    CHECK((contents(reopen(file, O_RDONLY)) == text + text.substr(0, 4096) + text.substr(0, 4096)));
  });
}

TEST_CASE("a misaligned direct transfer is refused by the kernel, and says so", "[fault][direct]") {
  with_direct_file([](const auto& world, const descriptor& file) {
    auto queue = world.queue({.buffer_size = 4096});
    queue.submit(write_of(queue, file, std::string(4096, 'x'), 0));
    queue.submit(write_of(queue, file, std::string(4096, 'x'), 1));
    queue.submit(write_of(queue, file, std::string(100, 'x'), 4096));
    queue.submit(read_of(queue, file, 100, 0));
    queue.submit(read_of(queue, file, 512, 1));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 5);
    CHECK_FALSE(all[0].error);
    for (std::size_t i = 1; i < 5; ++i) CHECK((all[i].error == std::errc::invalid_argument && all[i].bytes == 0));
  });
}

TEST_CASE("a direct read near the end of the file is short and successful", "[fault][direct]") {
  with_direct_file([](const auto& world, const descriptor& file) {
    const std::string text = pattern(3 * 4096 + 904);
    {
      const descriptor buffered = reopen(file, O_RDWR);
      set_contents(buffered, text);
      REQUIRE(::fsync(buffered.get()) == 0);
    }
    auto queue = world.queue({.buffer_size = 65536});
    queue.submit(read_of(queue, file, 4096, 3 * 4096));
    queue.submit(read_of(queue, file, 65536, 0));
    queue.submit(read_of(queue, file, 4096, 4 * 4096));
    queue.submit(read_of(queue, file, 65536));  // at its position, so one read(2)
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 4);
    for (const outcome& one : all) CHECK_FALSE(one.error);
    CHECK((all[0].data == text.substr(3 * 4096)));
    CHECK((all[1].data == text));
    CHECK(all[2].bytes == 0);
    CHECK((all[3].data == text));
  });
}

TEST_CASE("a direct write that stops at the file size limit reports the bytes before it", "[fault][direct][short]") {
  with_direct_file([](const auto& world, const descriptor& file) {
    const std::string text = pattern(65536);
    auto queue = world.queue({.buffer_size = 65536});
    asioq::asio_request done;
    {
      const file_size_limit limit(36864);
      done = run(queue, write_of(queue, file, text, 0));
    }
    CHECK(done.error() == std::errc::file_too_large);
    CHECK(done.bytes_transferred() == 36864);
    CHECK((contents(reopen(file, O_RDONLY)) == text.substr(0, 36864)));
  });
}
