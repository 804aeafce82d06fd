#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

#include <limits>

using namespace asioq_test;

namespace {
constexpr std::uint64_t last_offset = std::numeric_limits<std::int64_t>::max();
}

TEST_CASE("a read at an offset fills its buffer with those bytes of the file", "[transfer]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(300'000);
    const descriptor file = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 256 * 1024});
    const asioq::asio_request done = run(queue, read_of(queue, file, 200'001, 12'345));
    CHECK_FALSE(done.error());
    CHECK(done.bytes_transferred() == 200'001);
    CHECK(done.data().data() == done.buffer().data());
    CHECK((text_of(done.data()) == text.substr(12'345, 200'001)));
    CHECK(::lseek(file.get(), 0, SEEK_CUR) == 0);
  });
}

TEST_CASE("a finished request says what it was asked", "[transfer]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 4096});
    asioq::asio_request request = write_of(queue, file, "hello, world", 99);
    int mine = 0;
    request.set_user_data(&mine);
    const asioq::asio_request done = run(queue, std::move(request));
    CHECK_FALSE(request);
    CHECK(done.op() == asioq::asio_op::write);
    CHECK(done.fd() == file.get());
    CHECK(done.length() == 12);
    CHECK(done.offset() == 99);
    CHECK(done.sequence() == 0);
    CHECK(done.user_data() == &mine);
    CHECK(done.bytes_transferred() == 12);
    CHECK(text_of(done.data()) == "hello, world");
    CHECK_FALSE(done.error());
    CHECK(contents(file) == std::string(99, '\0') + "hello, world");
  });
}

TEST_CASE("a read that meets the end of the file is a success with what there was", "[transfer]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("0123456789");
    auto queue = world.queue({.buffer_size = 4096});
    queue.submit(read_of(queue, file, 100, 7));
    queue.submit(read_of(queue, file, 100, 10));
    queue.submit(read_of(queue, file, 100, 5'000'000'000));
    queue.submit(read_of(queue, file, 100));
    queue.submit(read_of(queue, file, 100));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 5);
    for (const outcome& one : all) CHECK_FALSE(one.error);
    CHECK(all[0].data == "789");
    CHECK(all[1].bytes == 0);
    CHECK(all[2].bytes == 0);
    CHECK(all[3].data == "0123456789");
    CHECK(all[4].bytes == 0);
  });
}

TEST_CASE("a read of a pipe gives what one successful read gave", "[transfer][pipe]") {
  on_every_executor([](const auto& world) {
    pipe_ends pipe;
    pipe.put("hello");
    auto queue = world.queue({.buffer_size = 4096});
    CHECK(text_of(run(queue, read_of(queue, pipe.read_end, 4096)).data()) == "hello");
    pipe.put("more");
    pipe.write_end.reset();
    queue.submit(read_of(queue, pipe.read_end, 3));
    queue.submit(read_of(queue, pipe.read_end, 3));
    queue.submit(read_of(queue, pipe.read_end, 3));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 3);
    CHECK(all[0].data == "mor");
    CHECK(all[1].data == "e");
    CHECK((all[2].data.empty() && !all[2].error));
  });
}

TEST_CASE("a write to a pipe goes on until all is transferred", "[transfer][pipe]") {
  on_every_executor([](const auto& world) {
    const std::string text = pattern(300'000);
    const pipe_ends pipe;
    std::string seen;
    std::thread reader([&] { seen = pipe.take(2 * text.size()); });
    {
      auto queue = world.queue({.buffer_size = 300'000});
      queue.submit(write_back_of(queue, pipe.write_end, text));
      const asioq::asio_request done = run(queue, write_of(queue, pipe.write_end, text));
      reader.join();
      CHECK(done.bytes_transferred() == text.size());
      CHECK_FALSE(done.error());
    }
    CHECK((seen == text + text));
  });
}

TEST_CASE("a transfer of nothing succeeds", "[transfer]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    auto queue = world.queue({.buffer_size = 4096});
    queue.submit(read_of(queue, file, 0, 1));
    queue.submit(write_of(queue, file, "", 1));
    queue.submit(write_back_of(queue, file, "", 1));
    queue.submit(write_of(queue, file, ""));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 3);
    for (const outcome& one : all) CHECK((!one.error && one.bytes == 0));
    CHECK(contents(file) == "abc");
  });
}

TEST_CASE("offsets up to the last one reach the kernel as they are", "[transfer]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("abc");
    const descriptor sparse = temp_file();
    auto queue = world.queue({.buffer_size = 4096});
    queue.submit(write_of(queue, sparse, "far", 5'000'000'000));
    queue.submit(read_of(queue, sparse, 10, 4'999'999'999));
    queue.submit(read_of(queue, file, 10, last_offset - 10));
    queue.submit(read_of(queue, file, 0, last_offset));
    queue.submit(write_of(queue, file, "x", last_offset - 1));
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 5);
    CHECK_FALSE(all[0].error);
    CHECK(all[1].data == std::string("\0far", 4));
    CHECK(all[2].bytes == 0);
    CHECK_FALSE(all[3].error);
    CHECK(all[4].error == std::errc::file_too_large);
  });
}

TEST_CASE("every buffer has the queue's size and alignment", "[transfer][buffer]") {
  on_every_executor([](const auto& world) {
    for (const std::size_t size : {1U, 511U, 4096U, 4097U, 1U << 20}) {
      auto queue = world.queue({.buffer_size = size});
      std::vector<asioq::asio_request> held;
      for (int i = 0; i < 5; ++i) held.push_back(queue.get());
      for (const asioq::asio_request& one : held) {
        CHECK(one.buffer().size() == size);
        CHECK(reinterpret_cast<std::uintptr_t>(one.buffer().data()) % asioq::buffer_alignment == 0);
        std::fill(one.buffer().begin(), one.buffer().end(), std::byte{0x5a});  // the sanitizer's turn
      }
    }
  });
}

TEST_CASE("a request may be used again and again", "[transfer]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 4096});
    asioq::asio_request request = queue.get();
    for (std::uint64_t i = 0; i < 50; ++i) {
      set_text(request, "ab");
      request.prepare_write(file.get(), 2, 2 * i);
      request = run(queue, std::move(request));
      REQUIRE_FALSE(request.error());
      request = run(queue, std::move(request));  // as it is
      REQUIRE(request.bytes_transferred() == 2);
      request.prepare_read(file.get(), 4096, 0);
      CHECK(request.bytes_transferred() == 0);
      request = run(queue, std::move(request));
      REQUIRE(request.bytes_transferred() == 2 * i + 2);
    }
    CHECK(queue.allocated_requests() == 1);
  });
}
