// What a writer does when the disk is full, fails, or is not there any more.
#include <asioq/testing/simulated_disk.hpp>

#include <sys/mount.h>

#include <array>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "child.hpp"
#include "coroutines.hpp"
#include "every_executor.hpp"
#include "faults.hpp"
#include "mounts.hpp"
#include "receivers.hpp"
#include "writer_program.hpp"

using namespace asioq_test;

namespace {

using asioq::asio_op;
using asioq::retention;
using disk = asioq::testing::simulated_disk;
using disk_queue = asioq::basic_asio_queue<disk::executor_type>;

std::string text_in(const disk& its, std::string_view name) { return text_of(its.contents(name)); }

/// Writes a text in some pieces, with a flush and a sync, and calls `make_room()` at the first failure, wherever that
/// is. Returns how often it was told of one.
template <class Queue, class Target, class MakeRoom>
int write_all(Queue& queue, const Target& target, const std::string& text, asioq::writer_options options,
              MakeRoom make_room) {
  asioq::writer sink{queue, target, options};
  int failures = 0;
  const auto insist = [&](auto call) {
    for (int tries = 0; tries < 10; ++tries) {
      const std::uint64_t before = sink.position();
      try {
        call();
        return;
      } catch (const std::system_error& error) {
        CHECK(sink.error() == error.code());
        CHECK(sink.position() == before);
        // As long as nothing is done about it, it accepts nothing.
        CHECK_THROWS_AS(sink.write(bytes_of("x")), std::system_error);
        CHECK(sink.position() == before);
        if (failures++ == 0) make_room();
        sink.retry();
      }
    }
    FAIL("it does not end");
  };
  for (std::size_t at = 0, turn = 0; at < text.size(); ++turn) {
    const std::size_t count = std::min(text.size() - at, turn * 1777 % 5000);
    insist([&] { sink.write(bytes_of(text).subspan(at, count)); });
    at += count;
    if (turn % 4 == 1) insist([&] { sink.flush(); });
    if (turn % 4 == 3) insist([&] { sink.start_sync(); });
  }
  insist([&] { sink.close(); });
  CHECK(sink.written_through() == text.size());
  return failures;
}

/// Two files, with and without O_DIRECT where that is to be had, on a file system with so much room.
struct small_disk {
  descriptor file;
  descriptor direct;
  descriptor ballast;
};

small_disk files_in(const std::filesystem::path& root) {
  small_disk its;
  its.file = open_path(root / "file", O_RDWR | O_CREAT | O_EXCL);
  its.direct = open_path(root / "file", O_RDWR | O_DIRECT);
  its.ballast = open_path(root / "ballast", O_RDWR | O_CREAT | O_EXCL);
  return its;
}

/// Takes all the room but about so many bytes.
void leave(const small_disk& its, std::size_t room) {
  if (::ftruncate(its.ballast.get(), 0) != 0 || ::ftruncate(its.file.get(), 0) != 0) throw_errno("ftruncate");
  std::size_t taken = 0;
  for (bool has_room = true; has_room;) {
    struct statfs status{};
    if (::fstatfs(its.ballast.get(), &status) != 0) throw_errno("fstatfs");
    const std::size_t free = static_cast<std::size_t>(status.f_bfree) * static_cast<std::size_t>(status.f_bsize);
    std::size_t more = free > room ? free - room : 0;
    // The file system needs some for itself.
    while (more >= 4096 &&
           ::posix_fallocate(its.ballast.get(), static_cast<off_t>(taken), static_cast<off_t>(more)) != 0)
      more /= 2;
    has_room = more >= 4096;
    taken += more;
  }
}

}  // namespace

TEST_CASE("where a simulated disk is full, after making room nothing is lost", "[writer][full_disk]") {
  in_every_order([](asioq::execution_order order) {
    std::mt19937_64 random = random_source(20);
    const std::string text = text_of_length(20'000, random);
    for (const std::size_t unit : {1U, 64U}) {
      for (const retention keep : {retention::until_written, retention::until_durable}) {
        int failures = 0;
        for (std::uint64_t room = 0; room < 22'000; room += 512) {
          disk its{{.seed = run_seed(),
                    .sector_size = 64,
                    .capacity = 40'000,
                    .keeps_log = false,
                    .direct_alignment = unit}};
          disk_queue queue{its.executor(), {.buffer_size = 1024, .order = order}};
          const int ballast = its.open("ballast");
          const auto fill = [&](std::uint64_t size, bool allocates) {
            asioq::asio_request request = queue.get();
            request.prepare_truncate(ballast, 0);
            if (allocates) request.prepare_allocate(ballast, static_cast<std::size_t>(size), 0);
            queue.submit(std::move(request));
            CHECK_FALSE(queue.wait().error());
          };
          fill(39'960 - room, true);
          INFO("seed " << run_seed() << ", alignment " << unit << ", room for " << room);
          failures +=
              write_all(queue, its.open("file"), text, {.max_behind = 4096, .keep = keep}, [&] { fill(0, false); });
          CHECK(text_in(its, "file") == text);
        }
        CHECK(failures >= 38);
      }
    }
  });
}

TEST_CASE("where a small file system is full, after making room nothing is lost", "[writer][full_disk]") {
  std::mt19937_64 random = random_source(21);
  const std::string text = text_of_length(150'000, random);
  std::optional<small_disk> tmpfs;
  {
    const temp_dir point;
    if (::mount("asioq-test", point.path().c_str(), "tmpfs", 0, "size=1m") == 0) {
      tmpfs = files_in(point.path());
      ::umount2(point.path().c_str(), MNT_DETACH);
    }
  }
  const std::optional<small_disk> ext4 = on_file_system("ext4", false, files_in);
  if (!tmpfs || !ext4) WARN(no_mounts);
  asioq::thread_pool pool{2};
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    asioq::basic_asio_queue<asioq::thread_pool::executor_type> queue{pool.executor(),
                                                                     {.buffer_size = 16384, .order = order}};
    for (const std::optional<small_disk>* each : {&std::as_const(tmpfs), &ext4}) {
      if (!*each) continue;
      const small_disk& its = **each;
      for (const bool is_direct : {false, true}) {
        int failures = 0;
        for (std::size_t room = 0; room < 160'000; room += 4096 * 7) {
          leave(its, room);
          failures += write_all(queue, (is_direct ? its.direct : its.file).get(), text,
                                {.max_behind = std::size_t{65536}, .keep = retention::until_durable},
                                [&] { REQUIRE(::ftruncate(its.ballast.get(), 0) == 0); });
          CHECK(contents(its.file) == text);
        }
        CHECK(failures > 3);
      }
    }
  }
}

TEST_CASE("beyond a limit of the process, and without it, nothing is lost", "[writer][full_disk]") {
  on_every_executor([](const auto& world) {
    std::mt19937_64 random = random_source(22);
    const std::string text = text_of_length(100'000, random);
    for (const auto mode : {asioq::direct_io::preferred, asioq::direct_io::off}) {
      const real_place place(folder_of(world), mode);
      auto queue = world.queue({.buffer_size = 4096});
      std::optional<file_size_limit> limit;
      limit.emplace(50'000);
      const int failures = write_all(queue, place.target(), text, {.max_behind = 16384}, [&] { limit.reset(); });
      if (!world.is_kernel) CHECK(failures > 0);
      CHECK(place.contents() == text);
    }
  });
}

TEST_CASE("what a device cannot take can be rescued, for another file", "[writer]") {
  on_every_executor([](const auto& world) {
    std::mt19937_64 random = random_source(23);
    const std::string text = text_of_length(5000, random);
    const descriptor full = open_path("/dev/full", O_RDWR);
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    asioq::writer sink{queue, full.get(), {.max_behind = 1024}};
    std::size_t accepted = 0;
    CHECK_FALSE(sink.error());
    try {
      for (; accepted < text.size(); accepted += 100) sink.write(bytes_of(text).subspan(accepted, 100));
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::no_space_on_device);
      CHECK(std::string(error.what()).find("descriptor") != std::string::npos);
    }
    CHECK(sink.position() == accepted);
    CHECK(accepted >= 500);
    CHECK(sink.written_through() == 0);
    CHECK_THROWS_AS(sink.flush(), std::system_error);
    CHECK_THROWS_AS(sink.sync(), std::system_error);
    CHECK_THROWS_AS(sink.close(), std::system_error);
    CHECK(sink.error() == std::errc::no_space_on_device);
    sink.retry();
    CHECK_THROWS_AS(sink.flush(), std::system_error);
    asioq::writer other{queue, file.get()};
    for (asioq::rescued_part& part : sink.rescue()) {
      CHECK(part.offset == other.position());
      other.write(part.bytes);
    }
    CHECK(other.position() == accepted);
    other.close();
    CHECK(contents(file) == text.substr(0, accepted));
    CHECK(sink.rescue().empty());
    CHECK_THROWS_AS(sink.write(bytes_of("x")), std::system_error);
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("after a failed sync, what is kept until it is durable is written again", "[writer][latch]") {
  in_every_order([](asioq::execution_order order) {
    for (const std::size_t unit : {1U, 16U}) {
      disk its{{.seed = run_seed(), .sector_size = 16, .short_transfers = 0, .direct_alignment = unit}};
      disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
      asioq::writer sink{queue, its.open("file"), {.max_behind = 1024, .keep = retention::until_durable}};
      sink.write(bytes_of(std::string(100, 'a')));
      sink.sync();
      sink.write(bytes_of(std::string(200, 'b')));
      sink.flush();
      CHECK(sink.written_through() == 300);
      its.fail_next(asio_op::fdatasync, std::errc::io_error);
      CHECK_THROWS_AS(sink.sync(), std::system_error);
      CHECK(sink.error() == std::errc::io_error);
      CHECK(sink.durable_through() == 100);
      sink.retry();
      CHECK(sink.position() == 300);
      sink.write(bytes_of("c"));
      sink.close();
      CHECK(sink.durable_through() == 301);
      its.crash();
      CHECK(text_in(its, "file") == std::string(100, 'a') + std::string(200, 'b') + "c");
      // The queue has forgotten its latch only because all was written again.
      queue.resume();
    }
  });
}

TEST_CASE("after a failed sync, what was not kept is never called durable", "[writer][latch]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16}};
    disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
    asioq::writer sink{queue, its.open("file")};
    sink.write(bytes_of(std::string(100, 'a')));
    sink.sync();
    sink.write(bytes_of(std::string(200, 'b')));
    its.fail_next(asio_op::fdatasync, std::errc::io_error);
    CHECK_THROWS_AS(sink.sync(), std::system_error);
    for (int i = 0; i < 3; ++i) {
      sink.retry();
      sink.write(bytes_of("c"));
      sink.flush();
      CHECK_THROWS_AS(sink.start_sync(), std::system_error);
      CHECK(sink.error() == std::errc::io_error);
      CHECK(sink.durable_through() == 100);
    }
    sink.retry();
    sink.close();
    CHECK(text_in(its, "file") == std::string(100, 'a') + std::string(200, 'b') + "ccc");
    CHECK(sink.durable_through() == 100);
  });
}

TEST_CASE("what was held behind a failure of another part of the program is written after retry()", "[writer][hold]") {
  on_every_executor([](const auto& world) {
    std::mt19937_64 random = random_source(24);
    const std::string text = text_of_length(20'000, random);
    const descriptor full = open_path("/dev/full", O_RDWR);
    for (const auto mode : {asioq::direct_io::preferred, asioq::direct_io::off}) {
      const real_place place(folder_of(world), mode);
      auto queue = world.queue({.buffer_size = 4096, .on_failure = asioq::failure_policy::hold});
      asioq::writer sink{queue, place.target(), {.max_behind = 8192}};
      std::size_t at = 0;
      int failures = 0;
      for (int turn = 0; at < text.size(); ++turn) {
        if (turn % 7 == 3) queue.submit(write_of(queue, full, "x"));
        try {
          const std::size_t count = std::min<std::size_t>(text.size() - at, 777);
          sink.write(bytes_of(text).subspan(at, count));
          at += count;
          if (turn % 3 == 0) sink.flush();
        } catch (const std::system_error& error) {
          CHECK(error.code() == std::errc::operation_canceled);
          ++failures;
          while (queue.wait()) {
          }
          sink.retry();
          CHECK(sink.position() == at);
        }
      }
      while (queue.wait()) {
      }
      try {
        sink.close();
      } catch (const std::system_error&) {
        sink.retry();
        sink.close();
      }
      CHECK(failures > 0);
      CHECK(place.contents() == text);
    }
  });
}

TEST_CASE("what was cancelled is written after retry()", "[writer][cancel]") {
  on_every_executor([](const auto& world) {
    std::mt19937_64 random = random_source(25);
    const std::string text = text_of_length(20'000, random);
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 1024});
    asioq::writer sink{queue, file.get()};
    for (std::size_t at = 0; at < text.size(); at += 1000) {
      sink.write(bytes_of(text).subspan(at, 1000));
      if (at % 3000 != 0) continue;
      sink.start_sync();
      queue.cancel();
      try {
        sink.flush();
        sink.sync();  // a flush need not wait for what the sync says
      } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::operation_canceled);
        sink.retry();
      }
    }
    sink.close();
    CHECK(contents(file) == text);
  });
}

TEST_CASE("a destructor writes what is left", "[writer][lifetime]") {
  on_every_executor([](const auto& world) {
    std::mt19937_64 random = random_source(26);
    for (const auto mode : {asioq::direct_io::preferred, asioq::direct_io::off}) {
      const real_place place(folder_of(world), mode);
      const std::string text = text_of_length(30'001, random);
      auto queue = world.queue({.buffer_size = 4096});
      {
        asioq::writer sink{queue, place.target(), {.max_behind = 8192}};
        sink.write(bytes_of(text));
      }
      CHECK(place.contents() == text);
      CHECK(queue.allocated_requests() == 0);
    }
  });
}

namespace {

struct loss {
  std::error_code error;
  std::uint64_t offset;
  std::string text;
};

}  // namespace

TEST_CASE("a destructor reports what was lost and told to nobody", "[writer][lost]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    for (const bool is_told : {false, true}) {
      std::vector<loss> losses;
      auto queue = world.queue(
          {.buffer_size = 512, .on_lost_failure = [&](asioq::asio_request& request) {
             losses.push_back({request.error(), request.offset(), text_of(request.buffer().first(request.length()))});
           }});
      {
        const file_size_limit limit(1000);
        asioq::writer sink{queue, file.get()};
        sink.write(bytes_of(std::string(512, 'a') + std::string(512, 'b')));
        sink.write(bytes_of("ccc"));
        if (is_told) {
          CHECK_THROWS_AS(sink.flush(), std::system_error);
        }
      }
      if (is_told || world.is_kernel) continue;  // on io_uring the limit may not count
      REQUIRE(losses.size() == 2);
      CHECK(losses[0].error == std::errc::file_too_large);
      CHECK(losses[1].text == "ccc");
      CHECK(losses[1].offset == 1024);
    }
  });
}

TEST_CASE("without on_lost_failure a loss ends the program, unless it knows", "[writer][lost]") {
  const descriptor full = open_path("/dev/full", O_RDWR);
  enum way { silent, told, asked, unwinding };
  for (const way its : {silent, told, asked, unwinding}) {
    const ending end = run_in_child([&] {
      try {
        asioq::asio_queue queue{{.buffer_size = 512}};
        asioq::writer sink{queue, full.get()};
        sink.write(bytes_of("x"));
        if (its == unwinding) throw std::runtime_error("elsewhere");
        if (its == silent) return 0;
        sink.start_flush();
        while (queue.run_one() != 0) {
        }
        if (its == asked) return sink.error() ? 0 : 1;
        sink.flush();
        return 1;
      } catch (const std::exception&) {
        return 0;
      }
    });
    CHECK(end.signal == (its == silent ? SIGABRT : 0));
    CHECK(end.exit_code == (its == silent ? -1 : 0));
    const bool has_message =
        end.errors.find("asioq: a failure was not reported: writing descriptor") != std::string::npos;
    CHECK(has_message == (its == silent || its == unwinding));
  }
}

TEST_CASE("a coroutine that waits is told, and may retry", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    for (const asio_op op : {asio_op::write, asio_op::fdatasync, asio_op::truncate}) {
      disk its{{.seed = run_seed(), .sector_size = 16, .direct_alignment = 16}};
      disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
      asioq::writer sink{queue, its.open("file"), {.max_behind = 256, .keep = retention::until_durable}};
      its.fail_next(op, std::errc::no_space_on_device, op == asio_op::write ? 3 : 0);
      const std::string text(1001, 't');
      int failures = 0;
      const auto run = [&]() -> owned_task {
        for (bool is_through = false; !is_through;) {
          try {
            if (sink.position() == 0) co_await sink.async_write(bytes_of(text));
            co_await sink.async_sync();
            co_await sink.async_close();
            is_through = true;
          } catch (const std::system_error& error) {
            failures += error.code() == std::errc::no_space_on_device ? 1 : 100;
            sink.retry();
          }
        }
      };
      const owned_task task = run();
      while (queue.run_one() != 0) {
      }
      task.rethrow();
      REQUIRE(task.is_done());
      CHECK(failures == 1);
      CHECK(text_in(its, "file") == text);
      its.crash();
      CHECK(text_in(its, "file") == text);
    }
  });
}

namespace {

owned_task sync_or_retry(asioq::writer<disk_queue>& sink, int& failures) {
  try {
    co_await sink.async_sync();
  } catch (const std::system_error&) {
    ++failures;
    sink.retry();
  }
}

}  // namespace

TEST_CASE("a sync that waits is told, though another coroutine has called retry() before", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    for (const auto& [reason, told] : {std::pair{std::errc::io_error, 1}, std::pair{std::errc::invalid_argument, 0}}) {
      disk its{{.seed = run_seed(), .sector_size = 16, .short_transfers = 0, .interruptions = 0}};
      disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
      asioq::writer sink{queue, its.open("file"), {.max_behind = 64}};
      sink.write(bytes_of(std::string(500, 't')));
      its.fail_next(asio_op::fdatasync, reason);
      int failures = 0;
      const owned_task first = sync_or_retry(sink, failures);
      const owned_task second = sync_or_retry(sink, failures);
      while (queue.run_one() != 0) {
      }
      CHECK(first.is_done());
      CHECK(second.is_done());
      CHECK(failures == 1 + told);  // what was lost is lost for both; else the second tries again
      CHECK(sink.written_through() == 500);
    }
  });
}

TEST_CASE("a close that waits still syncs although another coroutine has called retry() first", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16, .short_transfers = 0, .interruptions = 0}};
    disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
    asioq::writer sink{queue, its.open("file"), {.keep = retention::until_durable}};
    sink.write(bytes_of(std::string(500, 't')));
    its.fail_next(asio_op::fdatasync, std::errc::invalid_argument);
    int failures = 0;
    const auto close = [&]() -> owned_task { co_await sink.async_close(); };
    const owned_task first = sync_or_retry(sink, failures);
    const owned_task second = close();
    while (queue.run_one() != 0) {
    }
    second.rethrow();
    CHECK((first.is_done() && second.is_done()));
    CHECK(failures == 1);
    CHECK(sink.durable_through() == 500);
  });
}

TEST_CASE("rescue() and async_rescue() close the writer, and suspended coroutines are told", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    for (const bool is_awaited : {false, true}) {
      disk its{{.seed = run_seed(), .short_transfers = 0, .interruptions = 0}};
      disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
      asioq::writer sink{queue, its.open("file"), {.max_behind = 64}};
      std::error_code told;
      const auto wait_for = [&](auto awaitable) -> owned_task {
        try {
          co_await awaitable();
        } catch (const std::system_error& error) {
          told = error.code();
        }
      };
      sink.write(bytes_of(std::string(100, 't')));
      const owned_task flush = wait_for([&] { return sink.async_flush(); });
      CHECK(sink.reserve(8).size() == 8);
      while (queue.run_one() != 0) {
      }
      CHECK_FALSE(flush.is_done());  // it waits for the commit, and nothing is in flight
      std::vector<asioq::rescued_part> parts;
      const auto rescue = [&]() -> owned_task { parts = co_await sink.async_rescue(); };
      if (is_awaited) {
        CHECK(rescue().is_done());
      } else {
        parts = sink.rescue();
      }
      CHECK(flush.is_done());
      CHECK(told == std::errc::operation_not_permitted);
      REQUIRE(parts.size() == 1);
      CHECK(parts[0].offset == 64);
      CHECK(text_of(parts[0].bytes) == std::string(36, 't'));
    }
  });
}

TEST_CASE("a coroutine may destroy the writer once it has rescued, though others wait", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .short_transfers = 0, .interruptions = 0}};
    disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
    auto sink =
        std::make_unique<asioq::writer<disk_queue>>(queue, its.open("file"), asioq::writer_options{.max_behind = 64});
    sink->write(bytes_of(std::string(100, 't')));
    const auto flush = [&]() -> owned_task { co_await sink->async_flush(); };
    owned_task waiting = flush();
    CHECK(sink->reserve(8).size() == 8);
    while (queue.run_one() != 0) {
    }
    const auto rescue = [&]() -> owned_task {
      const std::vector<asioq::rescued_part> parts = co_await sink->async_rescue();
      waiting.destroy();
      sink.reset();
      CHECK(parts.size() == 1);
    };
    const owned_task task = rescue();
    CHECK(task.is_done());
    CHECK_FALSE(sink);
  });
}

TEST_CASE("rescue can be awaited", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .short_transfers = 0, .interruptions = 0}};
    disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
    const int second = its.open("second");
    asioq::writer sink{queue, its.open("first"), {.max_behind = 256}};
    its.fail_next(asio_op::write, std::errc::no_space_on_device, 1);
    const std::string text(500, 't');
    const auto run = [&]() -> owned_task {
      bool has_failed = false;
      try {
        co_await sink.async_write(bytes_of(text));
        co_await sink.async_flush();
      } catch (const std::system_error&) {
        has_failed = true;
      }
      CHECK(has_failed);
      const std::uint64_t accepted = sink.position();
      asioq::writer other{queue, second};
      for (const asioq::rescued_part& part : co_await sink.async_rescue()) co_await other.async_write(part.bytes);
      CHECK(other.position() == accepted - sink.written_through());
      co_await other.async_close();
    };
    const owned_task task = run();
    while (queue.run_one() != 0) {
    }
    task.rethrow();
    CHECK(task.is_done());
    CHECK(text_in(its, "second") == text.substr(0, sink.position() - sink.written_through()));
  });
}

TEST_CASE("an error of a writer names the operation, the place and the file", "[writer]") {
  for (const auto& [op, says] : {std::pair{asio_op::write, "write of 64 bytes at offset 64 of descriptor "},
                                 std::pair{asio_op::truncate, "truncate of descriptor "},
                                 std::pair{asio_op::fdatasync, "fdatasync of descriptor "},
                                 std::pair{asio_op::read, "read of 16 bytes at offset 0 of descriptor "}}) {
    disk its{{.seed = run_seed(), .sector_size = 16, .short_transfers = 0, .interruptions = 0, .direct_alignment = 16}};
    const int fd = its.open("file");
    disk_queue queue{its.executor(), {.buffer_size = 64}};
    asioq::writer before{queue, fd};
    before.write(bytes_of("0123456789abcdef"));
    before.close();
    asioq::writer sink{queue, fd, {.offset = op == asio_op::read ? 1U : 0U}};
    its.fail_next(op, std::errc::io_error, op == asio_op::write ? 1 : 0);
    sink.write(bytes_of(std::string(200, 't')));
    std::string told;
    try {
      sink.sync();
    } catch (const std::system_error& error) {
      told = error.what();
    }
    INFO(told);
    CHECK(told.starts_with(std::string("asioq: ") + says + std::to_string(fd) + ": "));
    sink.retry();
    sink.close();
  }
}

TEST_CASE("a failed write of what was written before is reported, too", "[writer][lost]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16, .short_transfers = 0, .interruptions = 0, .direct_alignment = 16}};
    int reports = 0;
    disk_queue queue{its.executor(),
                     {.buffer_size = 64, .order = order, .on_lost_failure = [&](asioq::asio_request& request) {
                        ++reports;
                        CHECK(request.error() == std::errc::io_error);
                        CHECK((request.offset() == 0 && request.length() == 10));
                      }}};
    {
      asioq::writer sink{queue, its.open("file"), {.max_behind = 64}};
      sink.write(bytes_of(std::string(10, 't')));
      sink.flush();
      its.fail_next(asio_op::write, std::errc::io_error);
      const std::string refused(200, 'x');
      const auto write = [&]() -> owned_task { co_await sink.async_write(bytes_of(refused)); };
      write().destroy();
      CHECK(queue.run_one() == 1);
      CHECK(reports == 0);
    }
    CHECK(reports == 1);
  });
}

TEST_CASE("a destroyed writer whose data fail later is reported inside a delivery", "[writer][lost]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .reorders = false, .short_transfers = 0, .interruptions = 0}};
    std::string lost;
    disk_queue queue{its.executor(),
                     {.buffer_size = 64, .order = order, .on_lost_failure = [&](asioq::asio_request& request) {
                        lost += text_of(request.buffer().first(request.length()));
                      }}};
    const int fd = its.open("file");
    const int other = its.open("other");
    auto sink = std::make_unique<asioq::writer<disk_queue>>(queue, fd);
    calling_receiver receiver([&](asioq::asio_request) {
      its.fail_next(asio_op::write, std::errc::io_error, 1);
      sink->write(bytes_of(std::string(100, 'a')));
      sink.reset();
    });
    asioq::asio_request first = queue.get();
    first.prepare_read(other, 1, 0);
    queue.submit(std::move(first), receiver);
    while (queue.run_one() != 0) {
    }
    CHECK(lost == std::string(36, 'a'));
    CHECK(text_in(its, "file") == std::string(64, 'a'));
    CHECK(queue.allocated_requests() == 0);
  });
}
