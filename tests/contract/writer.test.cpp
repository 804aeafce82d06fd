#include <asioq/testing/simulated_disk.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "catch.hpp"
#include "coroutines.hpp"
#include "every_executor.hpp"
#include "mounts.hpp"
#include "receivers.hpp"
#include "writer_program.hpp"

using namespace asioq_test;

namespace {

using disk = asioq::testing::simulated_disk;
using disk_queue = asioq::basic_asio_queue<disk::executor_type>;

std::string text_in(const disk& its, std::string_view name) { return text_of(its.contents(name)); }

int times_in_log(const disk& its, std::string_view what) {
  return static_cast<int>(
      std::ranges::count_if(its.log(), [&](const std::string& line) { return line.find(what) != std::string::npos; }));
}

/// Where the bytes of each write were.
class watching_disk final : public simulated_disk {
 public:
  using simulated_disk::simulated_disk;
  std::vector<const std::byte*> places;
  std::vector<std::size_t> lengths;

 private:
  std::int64_t transfer(const asioq::io_operation& operation, std::size_t length) override {
    if (operation.op() == asioq::asio_op::write) {
      places.push_back(operation.buffer().data());
      lengths.push_back(operation.buffer().size());
    }
    return simulated_disk::transfer(operation, length);
  }
};

}  // namespace

TEST_CASE("what a writer was given is in the file, whatever the program does", "[writer]") {
  on_every_executor([](const auto& world) {
    std::uint64_t stream = 100;
    for (const auto mode : {asioq::direct_io::preferred, asioq::direct_io::off}) {
      real_place place(folder_of(world), mode);
      auto queue = world.queue({.buffer_size = 8192});
      INFO("seed " << run_seed() << ", direct " << place.target().is_direct());
      writer_program program(queue, place, random_source(++stream));
      program.run(3, 12);
    }
  });
}

TEST_CASE("a writer leaves alone what is before and behind its bytes, wherever these are", "[writer]") {
  std::mt19937_64 random = random_source(7);
  in_every_order([&](asioq::execution_order order) {
    for (const std::size_t unit : {std::size_t{1}, std::size_t{16}}) {
      disk its{{.seed = run_seed(), .sector_size = 16, .keeps_log = false, .direct_alignment = unit}};
      disk_queue queue{its.executor(), {.buffer_size = 32, .order = order}};
      const int fd = its.open("file");
      const std::array<std::size_t, 8> places{0, 1, 15, 16, 17, 31, 32, 33};
      for (const std::size_t size : {0U, 1U, 16U, 40U, 100U}) {
        for (const std::size_t offset : places) {
          for (std::size_t length = 0; length <= 70; ++length) {
            std::string model = text_of_length(size, random);
            asioq::asio_request empty = queue.get();
            empty.prepare_truncate(fd, 0);
            queue.submit(std::move(empty));
            CHECK_FALSE(queue.wait().error());
            asioq::writer{queue, fd}.write(bytes_of(model));
            const std::string text = text_of_length(length, random);
            asioq::writer sink{queue, fd, {.offset = offset, .max_behind = 64}};
            sink.write(bytes_of(text));
            if (length % 3 == 0) sink.sync();
            sink.close();
            if (length != 0) model.resize(std::max(model.size(), offset + length));
            if (length != 0) model.replace(offset, length, text);
            if (text_in(its, "file") != model) {
              INFO("alignment " << unit << ", size " << size << ", offset " << offset << ", length " << length);
              CHECK(text_in(its, "file") == model);
            }
          }
        }
      }
    }
  });
}

TEST_CASE("a reader's blocks go into a writer of the same queue", "[writer][reader]") {
  on_every_executor([](const auto& world) {
    std::mt19937_64 random = random_source(8);
    for (const auto mode : {asioq::direct_io::preferred, asioq::direct_io::off}) {
      const real_place from(folder_of(world), mode);
      const real_place to(folder_of(world), mode);
      const std::string text = text_of_length(70'001, random);
      auto queue = world.queue({.buffer_size = 8192, .max_requests = 12});
      asioq::writer{queue, from.target()}.write(bytes_of(text));
      CHECK(from.contents() == text);
      for (const std::uint64_t begin : {0U, 4096U, 100U}) {
        asioq::reader source{queue, from.target(), {.offset = begin}};
        asioq::writer sink{queue, to.target(), {.offset = begin}};
        while (asioq::asio_request block = source.take()) sink.put(std::move(block));
        sink.put(source.take());  // nothing
        CHECK(sink.position() == text.size());
        sink.close();
        CHECK(to.contents() == text);
      }
    }
  });
}

TEST_CASE("put and reserve do not copy what need not be copied", "[writer]") {
  watching_disk its{run_seed()};
  const real_place place("/var/tmp", asioq::direct_io::preferred);
  if (!place.target().is_direct()) WARN(no_direct_io);
  asioq::basic_asio_queue<any_io_executor> queue{any_io_executor(its), {.buffer_size = 8192}};
  asioq::writer sink{queue, place.target()};
  const auto block_of = [&](std::size_t length) {
    asioq::asio_request block = queue.get();
    asioq::detail::request_access::narrow(block, block.buffer().first(length), 0);
    return block;
  };
  asioq::asio_request first = block_of(8192);
  asioq::asio_request second = block_of(8192);
  asioq::asio_request third = block_of(4096);
  const std::vector<const std::byte*> expected{first.buffer().data(), second.buffer().data(), third.buffer().data()};
  sink.put(std::move(first));
  sink.put(std::move(second));
  sink.put(std::move(third));
  sink.flush();
  CHECK(its.places == expected);
  const std::span<std::byte> room = sink.reserve(8192);
  const std::byte* const reserved = room.data();
  sink.commit(8192);
  sink.flush();
  CHECK(its.places.back() == reserved);
  sink.close();
}

TEST_CASE("no more than max_behind is with the queue", "[writer]") {
  pumped_sink sink_of_tasks;
  const descriptor file = temp_file();
  asioq::basic_asio_queue<custom_executor> queue{custom_executor{&sink_of_tasks}, {.buffer_size = 512}};
  asioq::writer sink{queue, file.get(), {.max_behind = 2048}};
  const std::string text(512, 'x');
  for (int i = 0; i < 5; ++i) sink.write(bytes_of(text));  // the last one is in the block that is being filled
  CHECK(queue.running_requests() == 4);
  for (int i = 0; i < 3; ++i) {
    sink.start_flush();
    sink.start_sync();
  }
  CHECK(queue.running_requests() == 4);
  CHECK(sink.written_through() == 0);
  sink.write(bytes_of(text));  // waits for one
  CHECK(queue.running_requests() <= 4);
  sink.sync();
  CHECK(sink.durable_through() == 6 * 512);
  CHECK(contents(file) == std::string(6 * std::size_t{512}, 'x'));
}

TEST_CASE("syncs that are asked for while one is in flight become one", "[writer]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .interruptions = 0}};
    disk_queue queue{its.executor(), {.buffer_size = 512, .order = order}};
    asioq::writer sink{queue, its.open("file")};
    sink.write(bytes_of("one"));
    sink.start_sync();
    for (int i = 0; i < 10; ++i) {
      sink.write(bytes_of("more"));
      sink.start_sync();
    }
    CHECK(sink.durable_through() == 0);
    sink.sync();
    CHECK(sink.durable_through() == 43);
    CHECK(times_in_log(its, "fdatasync") == 2);
    CHECK(text_of(its.synced_contents("file")).size() == 43);
    const std::size_t before = its.log().size();
    sink.sync();  // nothing to do
    sink.flush();
    CHECK(its.log().size() == before);
  });
}

TEST_CASE("as if serial, a writer goes on writing while its sync runs", "[writer]") {
  disk its{{.seed = run_seed(), .interruptions = 0}};
  disk_queue queue{its.executor(), {.buffer_size = 512, .order = asioq::execution_order::as_if_serial}};
  asioq::writer sink{queue, its.open("file")};
  const std::string text(512, 'x');
  sink.write(bytes_of(text));
  sink.start_sync();
  for (int i = 0; i < 8; ++i) sink.write(bytes_of(text));
  while (its.contents("file").size() < 8 * text.size()) queue.poll();
  CHECK(sink.durable_through() == 0);  // a sync takes six times as long as a write
  sink.sync();
  CHECK(sink.durable_through() == 9 * text.size());
}

TEST_CASE("a sync of a writer that was given nothing asks the disk once", "[writer]") {
  disk its{{.seed = run_seed(), .interruptions = 0}};
  disk_queue queue{its.executor(), {.buffer_size = 512}};
  asioq::writer sink{queue, its.open("file"), {.append = true}};
  sink.sync();
  sink.sync();
  CHECK(times_in_log(its, "fdatasync") == 1);
}

TEST_CASE("after an unaligned flush the writer goes on, and padding is cut at a sync and at the end", "[writer]") {
  disk its{{.seed = run_seed(), .sector_size = 16, .short_transfers = 0, .interruptions = 0, .direct_alignment = 16}};
  disk_queue queue{its.executor(), {.buffer_size = 64}};
  asioq::writer sink{queue, its.open("file")};
  sink.write(bytes_of("abc"));
  sink.flush();
  CHECK(its.contents("file").size() == 16);
  sink.write(bytes_of("def"));
  sink.flush();
  CHECK(text_in(its, "file").substr(0, 6) == "abcdef");
  CHECK(times_in_log(its, "truncate") == 0);
  sink.sync();
  CHECK(text_of(its.synced_contents("file")) == "abcdef");
  sink.write(bytes_of(std::string(10, 'g')));
  sink.sync();  // full: there is nothing to cut
  CHECK(times_in_log(its, "truncate") == 1);
  sink.write(bytes_of("h"));
  sink.close();
  CHECK(text_in(its, "file") == "abcdefggggggggggh");
  CHECK(times_in_log(its, "truncate") == 2);
  CHECK(times_in_log(its, "read") == 0);
}

TEST_CASE("a file that has got longer elsewhere is not cut", "[writer]") {
  disk its{{.seed = run_seed(), .sector_size = 16, .direct_alignment = 16}};
  disk_queue queue{its.executor(), {.buffer_size = 64}};
  asioq::writer first{queue, its.open("file")};
  asioq::writer second{queue, its.open("file"), {.offset = 160}};
  first.write(bytes_of("abc"));
  second.write(bytes_of("def"));
  second.close();
  first.sync();
  first.close();
  CHECK(text_in(its, "file") == "abc" + std::string(157, '\0') + "def");
}

TEST_CASE("a file that something in flight makes longer is not cut", "[writer]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16, .direct_alignment = 16}};
    disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
    std::string name = "file";
    const auto contents_after = [&](auto make_longer) {
      name += '+';
      asioq::writer sink{queue, its.open(name)};
      sink.write(bytes_of("abc"));
      sink.flush();
      make_longer(its.open(name));  // without waiting for it
      sink.sync();
      sink.close();
      queue.sync();
      return text_in(its, name);
    };
    const std::string x(16, 'x');
    const std::string end = std::string(157, '\0') + x;
    CHECK(contents_after([&](int fd) { queue.submit(write_back_of(queue, fd, x, 160)); }) == "abc" + end);
    CHECK(contents_after([&](int fd) {
            asioq::asio_request longer = queue.get();
            longer.prepare_allocate(fd, 16, 160);
            queue.submit(std::move(longer));
          }).size() == 176);
    std::optional<asioq::writer<disk_queue>> second;
    CHECK(contents_after([&](int fd) {
            second.emplace(queue, fd, asioq::writer_options{.offset = 160});
            second->write(bytes_of(x));
            second->start_flush();
          }) == "abc" + end);
    second->close();
    // Where the end of the file is when it is written to, there are zeros.
    CHECK(contents_after([&](int) { queue.submit(write_back_of(queue, its.open(name, {.appends = true}), x, 0)); }) ==
          "abc" + std::string(13, '\0') + x);
    // What is written to another file does not make it longer.
    CHECK(contents_after([&](int) { queue.submit(write_back_of(queue, its.open("other"), x, 160)); }) == "abc");
    while (queue.wait()) {
    }
  });
}

TEST_CASE("what the queue has yet to write behind a writer's bytes is kept", "[writer]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16, .direct_alignment = 16}};
    disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
    queue.submit(write_back_of(queue, its.open("file"), std::string(32, 'x'), 0));
    asioq::writer sink{queue, its.open("file"), {.offset = 20}};
    sink.write(bytes_of("abc"));
    sink.close();
    CHECK(text_in(its, "file") == std::string(20, 'x') + "abc" + std::string(9, 'x'));
  });
}

TEST_CASE("writers, readers and requests of the program share a queue", "[writer]") {
  on_every_executor([](const auto& world) {
    std::mt19937_64 random = random_source(9);
    auto queue = world.queue({.buffer_size = 4096});
    const descriptor file = temp_file();
    const descriptor other = temp_file();
    const std::string text = text_of_length(40'000, random);
    asioq::writer front{queue, file.get(), {.max_behind = 8192}};
    asioq::writer back{queue, file.get(), {.offset = 20'000, .max_behind = 8192}};
    asioq::writer third{queue, other.get()};
    for (std::size_t at = 0; at < 20'000; at += 500) {
      front.write(bytes_of(text).subspan(at, 500));
      back.write(bytes_of(text).subspan(20'000 + at, 500));
      third.write(bytes_of(text).subspan(at, 500));
      if (at % 3000 == 0) queue.submit(write_of(queue, other, text.substr(at, 100), 30'000 + at));
    }
    third.start_flush();
    asioq::reader source{queue, other.get(), {.length = 20'000}};
    std::string found(20'000, '\0');
    // What third was given is read, though it may not have been written yet.
    CHECK(source.read(std::as_writable_bytes(std::span(found))) == 20'000);
    CHECK(found == text.substr(0, 20'000));
    front.close();
    back.close();
    third.close();
    CHECK(contents(file) == text);
    int requests = 0;
    while (const asioq::asio_request done = queue.wait()) requests += done.error() ? 100 : 1;
    CHECK(requests == 7);
  });
}

TEST_CASE("a pipe is written in order, a block at a time", "[writer]") {
  on_every_executor([](const auto& world) {
    std::mt19937_64 random = random_source(10);
    const pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    const std::string text = text_of_length(5000, random);
    asioq::writer sink{queue, pipe.write_end.get(), {.max_behind = 4096}};
    sink.write(bytes_of(text));
    sink.flush();
    CHECK(sink.written_through() == 5000);
    CHECK_THROWS_AS(sink.sync(), std::system_error);  // a pipe cannot be synced
    sink.retry();
    sink.close();
    std::string found(5000, '\0');
    CHECK(::read(pipe.read_end.get(), found.data(), found.size()) == 5000);
    CHECK(found == text);
  });
}

TEST_CASE("a writer goes over to the page cache where direct writes are refused", "[writer]") {
  class refusing_disk final : public simulated_disk {
   public:
    using simulated_disk::simulated_disk;

   private:
    std::int64_t transfer(const asioq::io_operation& operation, std::size_t length) override {
      if ((::fcntl(operation.fd(), F_GETFL) & O_DIRECT) != 0) return -EINVAL;
      return simulated_disk::transfer(operation, length);
    }
  };
  std::mt19937_64 random = random_source(11);
  for (const auto policy : {asioq::failure_policy::proceed, asioq::failure_policy::hold}) {
    in_every_order([&](asioq::execution_order order) {
      refusing_disk its{run_seed()};
      const temp_dir folder("/var/tmp");
      const std::string before = text_of_length(9000, random);
      const std::string text = text_of_length(30'001, random);
      {
        const descriptor file = open_path(folder.path() / "file", O_RDWR | O_CREAT);
        REQUIRE(::pwrite(file.get(), before.data(), before.size(), 0) == static_cast<ssize_t>(before.size()));
      }
      const asioq::file file = asioq::file::open_for_writing(folder.path() / "file");
      if (!file.is_direct()) WARN(no_direct_io);
      asioq::basic_asio_queue<any_io_executor> queue{any_io_executor(its),
                                                     {.buffer_size = 8192, .order = order, .on_failure = policy}};
      asioq::writer sink{queue, file, {.offset = 5000}};
      if (policy == asioq::failure_policy::hold && file.is_direct()) {
        CHECK_THROWS_AS((sink.write(bytes_of(text)), sink.flush()), std::system_error);
        sink.retry();
        sink.flush();
        if (sink.position() == 5000) sink.write(bytes_of(text));
      } else {
        sink.write(bytes_of(text));
      }
      sink.sync();
      CHECK_FALSE(file.is_direct());
      sink.close();
      CHECK(contents(open_path(folder.path() / "file", O_RDONLY)) == before.substr(0, 5000) + text);
    });
  }
  refusing_disk its{run_seed()};
  const temp_dir folder("/var/tmp");
  try {
    const asioq::file file = asioq::file::create(folder.path() / "file", asioq::direct_io::required);
    asioq::basic_asio_queue<any_io_executor> queue{any_io_executor(its), {.buffer_size = 8192}};
    asioq::writer sink{queue, file};
    sink.write(bytes_of("abc"));
    CHECK_THROWS_AS(sink.flush(), std::system_error);
    CHECK(sink.error() == std::errc::invalid_argument);
    CHECK(file.is_direct());
  } catch (const std::system_error&) {
    WARN(no_direct_io);
  }
}

TEST_CASE("a writer refuses what makes no sense", "[writer]") {
  const descriptor file = temp_file();
  const descriptor appending = reopen(file, O_WRONLY | O_APPEND);
  asioq::asio_queue queue{{.buffer_size = 512}};
  CHECK_THROWS_AS((asioq::writer{queue, -1}), std::invalid_argument);
  CHECK_THROWS_AS((asioq::writer{queue, file.get(), {.max_behind = 0}}), std::invalid_argument);
  CHECK_THROWS_AS((asioq::writer{queue, appending.get()}), std::invalid_argument);
  asioq::writer sink{queue, file.get()};
  CHECK_THROWS_AS(sink.reserve(513), std::invalid_argument);
  CHECK_THROWS_AS(sink.commit(1), std::invalid_argument);
  sink.commit(0);
  static_cast<void>(sink.reserve(10));
  CHECK_THROWS_AS(sink.commit(11), std::invalid_argument);
  sink.write(bytes_of("x"));
  CHECK_THROWS_AS(sink.commit(1), std::invalid_argument);  // the room was there until the next call
  asioq::writer far{queue, file.get(), {.offset = (std::uint64_t{1} << 62U) - 1}};
  CHECK_THROWS_AS(far.write(bytes_of("xyz")), std::system_error);
  CHECK(far.position() == (std::uint64_t{1} << 62U) - 1);
  far.close();
  sink.close();
  sink.close();
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { sink.write(bytes_of("x")); }, [&] { sink.flush(); }, [&] { sink.sync(); }, [&] { sink.start_sync(); },
           [&] { sink.start_flush(); }, [&] { static_cast<void>(sink.reserve(1)); }, [&] { sink.put(queue.get()); }})
    CHECK_THROWS_AS(call(), std::system_error);
  CHECK(contents(file) == "x");
  CHECK(queue.allocated_requests() == 0);
}

TEST_CASE("a block of another queue is copied", "[writer]") {
  const descriptor file = temp_file();
  asioq::asio_queue queue{{.buffer_size = 512}};
  asioq::asio_queue another{{.buffer_size = 4096}};
  asioq::writer sink{queue, file.get()};
  asioq::asio_request block = another.get();
  std::ranges::fill(block.buffer(), std::byte{'y'});
  asioq::detail::request_access::narrow(block, block.buffer(), 0);
  sink.put(std::move(block));
  sink.close();
  CHECK(contents(file) == std::string(4096, 'y'));
}

namespace {

/// Writes with all twins.
template <class Queue, class Target>
owned_task write_all(Queue& queue, const Target& target, const std::string& text, std::string& wrong) {
  asioq::writer sink{queue, target, {.max_behind = 8192}};
  std::size_t at = 0;
  for (std::size_t turn = 0; at < text.size(); ++turn) {
    const std::size_t count = std::min(text.size() - at, (turn * 997) % 12'000);
    const std::span<const std::byte> part = bytes_of(text).subspan(at, count);
    if (turn % 3 == 0 && count <= 4096) {
      const std::span<std::byte> room = co_await sink.async_reserve(count);
      std::ranges::copy(part, room.begin());
      sink.commit(count);
    } else if (turn % 3 == 1 && count <= 4096) {
      asioq::asio_request block = queue.get();
      std::ranges::copy(part, block.buffer().begin());
      asioq::detail::request_access::narrow(block, block.buffer().first(count), 0);
      co_await sink.async_put(std::move(block));
    } else {
      co_await sink.async_write(part);
    }
    at += count;
    if (sink.position() != at) wrong += "position ";
    if (turn % 5 == 2) {
      co_await sink.async_flush();
      if (sink.written_through() != at) wrong += "flush ";
    }
    if (turn % 7 == 3) {
      co_await sink.async_sync();
      if (sink.durable_through() != at) wrong += "sync ";
    }
  }
  co_await sink.async_close();
}

}  // namespace

TEST_CASE("the calls of a writer have twins for coroutines", "[writer][coroutine]") {
  on_every_executor([](const auto& world) {
    std::mt19937_64 random = random_source(12);
    for (const auto mode : {asioq::direct_io::preferred, asioq::direct_io::off}) {
      const real_place one(folder_of(world), mode);
      const real_place two(folder_of(world), mode);
      const std::string text = text_of_length(100'000, random);
      auto queue = world.queue({.buffer_size = 4096});
      std::string wrong;
      const owned_task first = write_all(queue, one.target(), text, wrong);
      const owned_task second = write_all(queue, two.target(), text, wrong);
      while (queue.run_one() != 0) {
      }
      first.rethrow();
      second.rethrow();
      REQUIRE((first.is_done() && second.is_done()));
      CHECK(wrong.empty());
      CHECK(one.contents() == text);
      CHECK(two.contents() == text);
      CHECK(queue.allocated_requests() == 0);
    }
  });
}

namespace {

template <class Writer>
owned_task log_records(Writer& sink, char name, int count, std::size_t length, int& done) {
  const std::string record(length, name);
  for (int i = 0; i < count; ++i) {
    co_await sink.async_write(bytes_of(record));
    const std::uint64_t end = sink.position();
    co_await sink.async_sync();
    if (sink.durable_through() >= end) ++done;
  }
}

}  // namespace

TEST_CASE("coroutines that log into one writer share its syncs, and their records stay in one piece",
          "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    for (const std::size_t unit : {1U, 16U}) {
      disk its{{.seed = run_seed(), .sector_size = 16, .interruptions = 0, .direct_alignment = unit}};
      disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
      asioq::writer sink{queue, its.open("file"), {.max_behind = 128}};
      int done = 0;
      {
        std::vector<owned_task> tasks;
        for (int i = 0; i < 8; ++i) tasks.push_back(log_records(sink, static_cast<char>('a' + i), 20, 101, done));
        while (queue.run_one() != 0) {
        }
        for (const owned_task& task : tasks) {
          task.rethrow();
          CHECK(task.is_done());
        }
      }
      CHECK(done == 160);
      sink.close();
      const std::string found = text_in(its, "file");
      REQUIRE(found.size() == std::size_t{160} * 101);
      bool is_whole = true;
      for (std::size_t at = 0; at < found.size(); at += 101)
        is_whole = is_whole && found.substr(at, 101) == std::string(101, found[at]);
      CHECK(is_whole);
      CHECK(times_in_log(its, "fdatasync") < 100);
    }
  });
}

namespace {

template <class Writer>
owned_task write_once(Writer& sink, const std::string& text) {
  co_await sink.async_write(bytes_of(text));
}

template <class Writer>
owned_task flush_once(Writer& sink) {
  co_await sink.async_flush();
}

template <class Writer>
owned_task sync_once(Writer& sink) {
  co_await sink.async_sync();
}

}  // namespace

TEST_CASE("a coroutine that writes while another call does comes after it", "[writer][coroutine]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file("/dev/shm");
    const std::string first(10'000, 'a');
    const std::string second(100, 'b');
    auto queue = world.queue({.buffer_size = 512});
    asioq::writer sink{queue, file.get(), {.max_behind = 1024}};
    std::optional<owned_task> task;
    bool began_early = false;
    calling_receiver receiver([&](asioq::asio_request) {
      task.emplace(write_once(sink, second));
      began_early = task->is_done();
    });
    queue.submit(read_of(queue, file, 1, 0), receiver);
    sink.write(bytes_of(first));
    REQUIRE(task);
    CHECK_FALSE(began_early);
    task->rethrow();
    CHECK(task->is_done());
    CHECK(sink.position() == 10'100);
    sink.close();
    CHECK(contents(file) == first + second);
  });
}

TEST_CASE("what was reserved stays so, though a coroutine waits to write", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16}};
    disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
    const int fd = its.open("file");
    std::optional<asioq::writer<disk_queue>> sink;
    sink.emplace(queue, fd, asioq::writer_options{.max_behind = 64});
    std::optional<owned_task> task;
    const std::string second(100, 'b');
    bool goes = false;
    const auto write = [&]() -> owned_task {
      co_await sink->async_write(bytes_of(second));
      if (goes) sink.reset();
    };
    calling_receiver receiver([&](asioq::asio_request) { task.emplace(write()); });
    const auto reserve_meanwhile = [&] {
      queue.submit(read_of(queue, fd, 1, 0), receiver);
      sink->write(bytes_of(std::string(128, 'a')));
      const std::span<std::byte> room = sink->reserve(10);
      REQUIRE(task);
      CHECK_FALSE(task->is_done());
      CHECK(sink->position() % 128 == 0);
      std::ranges::fill(room, std::byte{'c'});
      return room.size();
    };
    sink->commit(reserve_meanwhile());
    while (queue.run_one() != 0) {
    }
    CHECK(task->is_done());
    sink->close();
    const std::string all = std::string(128, 'a') + std::string(10, 'c') + second;
    CHECK(text_in(its, "file") == all);

    // The same with a reservation that is given up, and a coroutine that destroys the writer.
    sink.emplace(queue, fd, asioq::writer_options{.offset = 256, .max_behind = 64});
    goes = true;
    task.reset();
    static_cast<void>(reserve_meanwhile());
    sink->commit(0);
    while (queue.run_one() != 0) {
    }
    CHECK(task->is_done());
    CHECK_FALSE(sink);
    CHECK(queue.allocated_requests() == 0);
    CHECK(text_in(its, "file") == all + std::string(18, '\0') + std::string(128, 'a') + second);
  });
}

TEST_CASE("what a cut in flight has yet to remove was not made by something else", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16, .short_transfers = 0, .interruptions = 0, .direct_alignment = 16}};
    disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
    asioq::writer sink{queue, its.open("file"), {.max_behind = 256}};
    sink.write(bytes_of(std::string(10, 'a')));
    const std::string dropped(1000, 'b');
    write_once(sink, dropped).destroy();
    while (queue.run_one() != 0) {
    }
    CHECK(its.contents("file").size() == 256);
    sink.start_sync();  // cuts
    sink.write(bytes_of(std::string(30, 'c')));
    sink.start_flush();  // pads
    sink.close();
    CHECK(text_in(its, "file") == std::string(10, 'a') + std::string(30, 'c'));
  });
}

TEST_CASE("what a destroyed coroutine was writing is not accepted", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    for (const std::size_t unit : {1U, 16U}) {
      for (std::size_t before = 0; before < 40; ++before) {
        for (int steps = 0; steps < 6; ++steps) {
          disk its{{.seed = run_seed(), .sector_size = 16, .keeps_log = false, .direct_alignment = unit}};
          disk_queue queue{its.executor(), {.buffer_size = 32, .order = order}};
          asioq::writer sink{queue, its.open("file"), {.max_behind = 64}};
          const std::string first(before, 'a');
          const std::string second(300, 'b');
          sink.write(bytes_of(first));
          if (before % 3 == 0) sink.start_flush();
          {
            owned_task task = write_once(sink, second);
            owned_task waiting = sync_once(sink);
            owned_task third = write_once(sink, second);
            for (int i = 0; i < steps; ++i) static_cast<void>(queue.run_one());
            REQUIRE_FALSE(task.is_done());
            third.destroy();
            task.destroy();
            CHECK(sink.position() == before);
          }
          CHECK(sink.written_through() <= before);
          sink.write(bytes_of("c"));
          sink.sync();
          CHECK(text_in(its, "file") == first + "c");
          sink.write(bytes_of("d"));
          sink.close();
          CHECK(text_in(its, "file") == first + "cd");
          CHECK(queue.allocated_requests() == 0);
        }
      }
    }
  });
}

TEST_CASE("what a coroutine is writing when another one closes the writer is not accepted", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16, .short_transfers = 0, .interruptions = 0}};
    disk_queue queue{its.executor(), {.buffer_size = 64, .order = order, .max_requests = 2}};
    asioq::writer sink{queue, its.open("file"), {.max_behind = 64}};
    asioq::asio_request held;
    const auto hold = [&]() -> owned_task {
      co_await sink.async_flush();
      held = queue.try_get();
    };
    const auto close = [&]() -> owned_task {
      co_await sink.async_flush();
      co_await sink.async_close();
    };
    sink.write(bytes_of(std::string(64, 't')));
    const owned_task holding = hold();
    sink.write(bytes_of(std::string(36, 't')));
    const owned_task closing = close();
    const std::string refused(200, 'x');
    const owned_task writing = write_once(sink, refused);
    while (queue.run_one() != 0) {
    }
    CHECK(held);
    CHECK((holding.is_done() && closing.is_done() && writing.is_done()));
    closing.rethrow();
    CHECK_THROWS_AS(writing.rethrow(), std::system_error);
    CHECK(sink.position() == 100);
    CHECK(text_in(its, "file") == std::string(100, 't'));
  });
}

TEST_CASE("while a call waits, the positions leave out what it has not accepted", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16}};
    disk_queue queue{its.executor(), {.buffer_size = 32, .order = order}};
    asioq::writer sink{queue, its.open("file"), {.max_behind = 64}};
    sink.write(bytes_of("abc"));
    const std::string text(300, 'b');
    const owned_task task = write_once(sink, text);
    sink.start_sync();
    while (!task.is_done()) {
      CHECK(sink.position() == 3);
      CHECK(sink.written_through() <= 3);
      CHECK(sink.durable_through() <= 3);
      REQUIRE(queue.run_one() == 1);
    }
    CHECK(sink.position() == 303);
    sink.close();
    CHECK(text_in(its, "file") == "abc" + text);
  });
}

TEST_CASE("a close that could not wait can be repeated", "[writer]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16}};
    disk_queue queue{its.executor(), {.buffer_size = 32, .order = order}};
    asioq::writer sink{queue, its.open("file"), {.max_behind = 64}};
    calling_receiver receiver([&](asioq::asio_request) {
      CHECK_THROWS_AS(sink.close(), std::system_error);
      sink.write(bytes_of("d"));  // the writer is open
    });
    sink.write(bytes_of("abc"));
    queue.submit(read_of(queue, its.open("other"), 1, 0), receiver);
    REQUIRE(queue.run_one() == 1);
    sink.close();
    CHECK(text_in(its, "file") == "abcd");
  });
}

TEST_CASE("a close whose coroutine is destroyed leaves the writer open", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    for (const bool outlives : {false, true}) {
      disk its{{.seed = run_seed(), .sector_size = 16}};
      disk_queue queue{its.executor(), {.buffer_size = 32, .order = order}};
      auto sink = std::make_unique<asioq::writer<disk_queue>>(queue, its.open("file"));
      const auto close = [&]() -> owned_task { co_await sink->async_close(); };
      sink->write(bytes_of(std::string(100, 'a')));
      owned_task task = close();
      REQUIRE_FALSE(task.is_done());
      CHECK_THROWS_AS(sink->write(bytes_of("b")), std::system_error);
      if (outlives) {
        sink.reset();
        task.destroy();
        CHECK(text_in(its, "file") == std::string(100, 'a'));
        continue;
      }
      task.destroy();
      sink->write(bytes_of("b"));
      sink->close();
      CHECK(text_in(its, "file") == std::string(100, 'a') + "b");
    }
  });
}

TEST_CASE("a coroutine that is suspended in a call of a writer may outlive it", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    for (const bool is_delivering : {false, true}) {
      for (const std::size_t before : {0U, 10U, 100U}) {
        disk its{{.seed = run_seed(), .sector_size = 16}};
        disk_queue queue{its.executor(), {.buffer_size = 32, .order = order}};
        const int fd = its.open("file");
        const std::string first(before, 'a');
        const std::string second(300, 'b');
        auto sink = std::make_unique<asioq::writer<disk_queue>>(queue, fd, asioq::writer_options{.max_behind = 64});
        sink->write(bytes_of(first));
        std::vector<owned_task> tasks;
        calling_receiver receiver([&](asioq::asio_request) { sink.reset(); });
        if (is_delivering) queue.submit(read_of(queue, fd, 1, 0), receiver);
        tasks.push_back(write_once(*sink, second));
        tasks.push_back(write_once(*sink, second));
        tasks.push_back(sync_once(*sink));
        tasks.push_back(flush_once(*sink));
        if (is_delivering)
          while (queue.run_one() != 0) {
          }
        sink.reset();
        tasks.clear();
        while (queue.run_one() != 0) {
        }
        CHECK(queue.allocated_requests() == 0);
        CHECK(text_in(its, "file").starts_with(first));
        if (!is_delivering) CHECK(text_in(its, "file") == first);
      }
    }
  });
}

TEST_CASE("a flush and a sync end, though the coroutine that was writing is destroyed", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16}};
    disk_queue queue{its.executor(), {.buffer_size = 32, .order = order}};
    const int fd = its.open("file");
    asioq::writer sink{queue, fd, {.max_behind = 64}};
    const std::string text(300, 'a');
    sink.write(bytes_of("abc"));
    {
      owned_task task = write_once(sink, text);
      owned_task flush = flush_once(sink);
      const owned_task sync = sync_once(sink);
      task.destroy();
      while (queue.run_one() != 0) {
      }
      CHECK(flush.is_done());
      CHECK(sync.is_done());
      CHECK(sink.durable_through() == 3);
    }
    sink.close();
    CHECK(text_in(its, "file") == "abc");
  });
}

TEST_CASE("a flush that waits ends, though a coroutine has reserved room and left it", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    disk its{{.seed = run_seed(), .sector_size = 16}};
    disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
    const int fd = its.open("file");
    asioq::writer sink{queue, fd, {.max_behind = 64}};
    for (const bool syncs : {false, true}) {
      bool has_reserved = false;
      calling_receiver receiver([&](asioq::asio_request) { has_reserved = sink.reserve(5).size() == 5; });
      queue.submit(read_of(queue, fd, 1, 0), receiver);
      sink.write(bytes_of(std::string(64 + 10, 'x')));
      syncs ? sink.sync() : sink.flush();
      CHECK(has_reserved);
      CHECK(sink.written_through() == sink.position());
    }
    sink.close();
    CHECK(text_in(its, "file") == std::string(148, 'x'));
  });
}

TEST_CASE("an awaited flush that waits for a commit goes on with the next call", "[writer][coroutine]") {
  in_every_order([](asioq::execution_order order) {
    for (int next = 0; next < 5; ++next) {
      disk its{{.seed = run_seed(), .sector_size = 16}};
      disk_queue queue{its.executor(), {.buffer_size = 64, .order = order}};
      asioq::writer sink{queue, its.open("file"), {.max_behind = 64}};
      sink.write(bytes_of(std::string(100, 'x')));
      const owned_task flush = flush_once(sink);
      CHECK(sink.reserve(8).size() == 8);
      while (queue.run_one() != 0) {
      }
      CHECK_FALSE(flush.is_done());
      const auto call = [&]() -> owned_task {
        if (next == 0) sink.write(bytes_of("yz"));
        if (next == 1) co_await sink.async_write(bytes_of("yz"));
        if (next == 2) co_await sink.async_put({});
        if (next == 3) CHECK((co_await sink.async_reserve(8)).size() == 8);
        if (next == 4) co_await sink.async_flush();
      };
      const owned_task other = call();
      while (queue.run_one() != 0) {
      }
      INFO("call " << next);
      CHECK((flush.is_done() && other.is_done()));
      CHECK(sink.written_through() >= 100);
      sink.close();
      CHECK(text_in(its, "file") == std::string(100, 'x') + (next < 2 ? "yz" : ""));
    }
  });
}

TEST_CASE("what has no end is appended to at its own position", "[writer]") {
  on_every_executor([](const auto& world) {
    auto queue = world.queue({.buffer_size = 512});
    const asioq::file null = asioq::file::open_for_writing("/dev/null");
    asioq::writer sink{queue, null, {.append = true}};
    CHECK(sink.position() == 0);
    sink.write(bytes_of("abc"));
    sink.close();
    CHECK(sink.written_through() == 3);
  });
}

TEST_CASE("a coroutine may destroy the writer that has resumed it", "[writer][coroutine]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    const std::string text(5000, 'x');
    const auto run = [&](auto& sink) -> owned_task {
      co_await sink->async_write(bytes_of(text));
      sink->start_flush();
      sink.reset();  // what is left has to be written, inside a delivery
    };
    auto sink =
        std::make_unique<asioq::writer<decltype(queue)>>(queue, file.get(), asioq::writer_options{.max_behind = 1024});
    const owned_task task = run(sink);
    while (queue.run_one() != 0) {
    }
    task.rethrow();
    CHECK(task.is_done());
    CHECK(contents(file) == text);
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("a receiver may use a writer as far as it need not wait", "[writer]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    asioq::writer sink{queue, file.get(), {.max_behind = 1024}};
    int refused = 0;
    calling_receiver receiver([&](asioq::asio_request) {
      sink.write(bytes_of("abc"));
      sink.start_sync();
      try {
        sink.write(bytes_of(std::string(10'000, 'x')));
      } catch (const std::system_error& error) {
        refused += error.code() == std::errc::resource_deadlock_would_occur ? 1 : 0;
      }
      sink.write(bytes_of("def"));
    });
    queue.submit(read_of(queue, file, 1, 0), receiver);
    while (queue.run_one() != 0) {
    }
    CHECK(refused == 1);
    CHECK(sink.position() == 6);
    sink.close();
    CHECK(contents(file) == "abcdef");
  });
}
