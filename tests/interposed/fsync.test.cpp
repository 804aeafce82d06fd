// What a queue remembers of a failed fsync, with the kernel's answers as the test says.
#include "calls.hpp"
#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

using namespace asioq_test;

namespace {

template <class Queue>
int sync_error(Queue& queue, const descriptor& file, bool data_only = false) {
  asioq::asio_request request = queue.get();
  if (data_only)
    request.prepare_fdatasync(file.get());
  else
    request.prepare_fsync(file.get());
  return run(queue, std::move(request)).error().value();
}

template <class Body>
void on_every_synchronous_disk(Body body) {  // io_uring does not call fsync(2)
  in_every_order([&](asioq::execution_order order) {
    on_threaded_executors(order, body);
    on_threadless_executors(order, body);
    SECTION("on a simulated disk") {
      simulated_disk disk{run_seed()};
      body(world<any_io_executor>{any_io_executor(disk), nullptr, false, order});
    }
  });
}

}  // namespace

TEST_CASE("errors that say \"not tried\" do not stick, those that may have lost data do", "[fsync][latch]") {
  on_every_synchronous_disk([](const auto& world) {
    for (const int error : {EAGAIN, ENOMEM, ECANCELED, EOPNOTSUPP, ENOSYS, EINVAL, EBADF}) {
      const descriptor file = temp_file();
      const sync_script script{file.get(), {error}};
      auto queue = world.queue({.buffer_size = 512});
      CHECK(sync_error(queue, file) == error);
      CHECK(sync_error(queue, file) == 0);
      CHECK(script.calls() == 2);
    }
    for (const int error : {EIO, ENOSPC, EDQUOT, EROFS}) {
      const descriptor file = temp_file();
      const descriptor same = reopen(file, O_RDONLY);
      const descriptor other = temp_file();
      sync_script script{file.get(), {error}};
      auto queue = world.queue({.buffer_size = 512});
      CHECK(sync_error(queue, file, true) == error);
      CHECK(sync_error(queue, file) == error);
      CHECK(sync_error(queue, same, true) == error);
      CHECK(sync_error(queue, other) == 0);
      CHECK(script.calls() == 1);
      queue.resume();
      CHECK(sync_error(queue, file) == 0);
      CHECK(script.calls() == 2);
    }
  });
}

TEST_CASE("an interrupted fsync is tried again", "[fsync]") {
  on_every_synchronous_disk([](const auto& world) {
    const descriptor file = temp_file();
    const sync_script script{file.get(), {EINTR, EINTR, 0}};
    auto queue = world.queue({.buffer_size = 512});
    CHECK(sync_error(queue, file) == 0);
    CHECK(script.calls() >= 3);
  });
}

TEST_CASE("resume while a later fsync runs does not forget that one's failure", "[fsync][latch]") {
  on_every_threaded_executor([](const auto& world) {
    const descriptor file = temp_file();
    const descriptor other = temp_file();
    sync_script script{file.get(), {EIO, ENOSPC}};
    auto queue = world.queue({.buffer_size = 512});
    CHECK(sync_error(queue, file) == EIO);
    queue.resume();
    script.hold();
    queue.submit(fsync_of(queue, file));
    script.await_held();
    queue.resume();  // of what has finished: not of the one that is running
    queue.submit(fsync_of(queue, file));
    script.release();
    CHECK(queue.wait().error().value() == ENOSPC);
    CHECK(queue.wait().error().value() == ENOSPC);
    CHECK(sync_error(queue, file) == ENOSPC);
    CHECK(sync_error(queue, other) == 0);
    CHECK(script.calls() == 2);
    queue.resume();
    CHECK(sync_error(queue, file) == 0);
    CHECK(script.calls() == 3);
  });
}

TEST_CASE("resume counts of a request that has failed by then, and not of what fails later", "[fsync][latch]") {
  on_every_threaded_executor([](const auto& world) {
    const descriptor one = temp_file();
    const descriptor two = temp_file();
    const descriptor full = open_path("/dev/full", O_RDWR);
    sync_script script{two.get(), {EIO}};
    auto queue = world.queue({.buffer_size = 512});
    queue.submit(write_of(queue, full, "x"));
    CHECK(queue.wait().error());
    script.hold();
    queue.submit(fsync_of(queue, two));
    script.await_held();
    CHECK(queue.completed_through() == 1);
    queue.resume();  // there is something to resume: the failed write
    script.release();
    CHECK(queue.wait().error().value() == EIO);
    CHECK(sync_error(queue, two) == EIO);
    CHECK(sync_error(queue, one) == 0);
    CHECK(script.calls() == 1);
  });
}

TEST_CASE("with hold, resume while something runs does not cover its failure", "[fsync][hold]") {
  on_every_threaded_executor([](const auto& world) {
    const descriptor file = temp_file();
    const descriptor other = temp_file();
    sync_script script{file.get(), {EINVAL}};
    auto queue = world.queue({.buffer_size = 512, .on_failure = asioq::failure_policy::hold});
    script.hold();
    queue.submit(fsync_of(queue, file));
    script.await_held();
    queue.resume();
    script.release();
    CHECK(queue.wait().error().value() == EINVAL);
    CHECK(run(queue, write_of(queue, other, "x", 0)).error() == std::errc::operation_canceled);
    queue.resume();
    CHECK_FALSE(run(queue, write_of(queue, other, "x", 0)).error());
  });
}

TEST_CASE("a new file does not inherit the failure of a deleted one with its inode number", "[fsync][latch]") {
  const bool with_handles = GENERATE(true, false);
  has_handles.store(with_handles);
  INFO((with_handles ? "with" : "without") << " file handles");
  on_every_synchronous_disk([](const auto& world) {
    const temp_dir dir;
    auto queue = world.queue({.buffer_size = 512});
    const auto path = dir.path() / "file";
    bool had_the_same = false;
    for (int tries = 0; tries < 5; ++tries) {
      descriptor old = open_path(path, O_RDWR | O_CREAT | O_EXCL);
      struct stat before{};
      REQUIRE(::fstat(old.get(), &before) == 0);
      {
        const sync_script script{old.get(), {EIO}};
        CHECK(sync_error(queue, old) == EIO);
        CHECK(sync_error(queue, old) == EIO);
        CHECK(script.calls() == 1);
      }
      old.reset();
      std::filesystem::remove(path);
      const descriptor fresh = open_path(path, O_RDWR | O_CREAT | O_EXCL);
      struct stat after{};
      REQUIRE(::fstat(fresh.get(), &after) == 0);
      had_the_same = had_the_same || before.st_ino == after.st_ino;
      const sync_script script{fresh.get()};
      CHECK(sync_error(queue, fresh) == 0);
      CHECK(script.calls() == 1);
      std::filesystem::remove(path);
    }
    if (!had_the_same) WARN("skipped: this file system does not use inode numbers again");
  });
  has_handles.store(true);
}

TEST_CASE("more files than the log has room for are remembered, each by itself", "[fsync][latch]") {
  on_every_synchronous_disk([](const auto& world) {
    auto queue = world.queue({.buffer_size = 512});
    std::vector<descriptor> files;
    for (int i = 0; i < 12; ++i) {
      files.push_back(temp_file());
      const sync_script script{files.back().get(), {i % 2 == 0 ? EIO : EDQUOT}};
      CHECK(sync_error(queue, files.back()) == (i % 2 == 0 ? EIO : EDQUOT));
    }
    for (int i = 0; i < 12; ++i)
      CHECK(sync_error(queue, files[static_cast<std::size_t>(i)]) == (i % 2 == 0 ? EIO : EDQUOT));
    CHECK(sync_error(queue, temp_file()) == 0);
  });
}
