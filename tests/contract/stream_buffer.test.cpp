#include <asioq/asioq.hpp>
#include <asioq/testing/simulated_disk.hpp>

#include <iomanip>
#include <istream>
#include <iterator>
#include <optional>
#include <ostream>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "every_executor.hpp"
#include "mounts.hpp"
#include "requests.hpp"

using namespace asioq_test;
using asioq::reader;
using asioq::reader_buf;

namespace {

std::string lines_of_text(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += "line " + std::to_string(i) + std::string(i * 7 % 90, 'x') + "\n";
  return text + "the last one, without an end";
}

std::vector<std::string> lines_of(std::istream& in) {
  std::vector<std::string> all;
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

}  // namespace

TEST_CASE("std::getline reads the lines of a file, also past the page cache", "[stream_buffer]") {
  on_every_executor([](const auto& world) {
    const std::string text = lines_of_text(500);
    std::istringstream expected(text);
    const std::vector<std::string> lines = lines_of(expected);
    std::optional<descriptor> direct = direct_file();
    if (!direct) WARN(no_direct_io);
    const descriptor plain = direct ? reopen(*direct, O_RDWR) : temp_file();
    set_contents(plain, text);
    const asioq::file its = asioq::file::open_for_reading("/proc/self/fd/" + std::to_string(plain.get()));
    CHECK(its.is_direct() == direct.has_value());
    auto queue = world.queue({.buffer_size = 4096});
    reader source{queue, its};
    reader_buf buffer{source};
    std::istream in{&buffer};
    CHECK((lines_of(in) == lines));
    CHECK(in.eof());
    CHECK_FALSE(in.bad());
  });
}

TEST_CASE("a stream on a reader does what streams do", "[stream_buffer]") {
  on_every_executor([](const auto& world) {
    const std::string text = "12 345\n" + pattern(1000) + "end";
    const descriptor its = temp_file_with(text);
    auto queue = world.queue({.buffer_size = 100});
    reader source{queue, its.get()};
    reader_buf buffer{source};
    std::istream in{&buffer};
    int first = 0;
    int second = 0;
    in >> first >> second;
    CHECK(first == 12);
    CHECK(second == 345);
    CHECK(in.tellg() == 6);
    CHECK(in.get() == '\n');
    in.unget();
    CHECK(in.peek() == '\n');
    in.seekg(7);
    std::string some(950, '\0');
    CHECK(in.read(some.data(), 950).gcount() == 950);
    CHECK((some == text.substr(7, 950)));
    CHECK(in.tellg() == 957);
    in.seekg(-900, std::ios::cur);
    CHECK(in.tellg() == 57);
    CHECK(static_cast<char>(in.get()) == text[57]);
    in.seekg(0, std::ios::end);
    CHECK(in.tellg() == static_cast<std::streamoff>(text.size()));
    in.seekg(-3, std::ios::end);
    std::string word;
    in >> word;
    CHECK(word == "end");
    CHECK(in.eof());
    in.clear();
    in.seekg(0);
    CHECK((std::string(std::istreambuf_iterator<char>(in), {}) == text));
    in.clear();
    in.seekg(-1, std::ios::beg);
    CHECK(in.fail());
    in.clear();
    in.seekg(-2000, std::ios::end);
    CHECK(in.fail());
    in.clear();
    CHECK(in.tellg() == static_cast<std::streamoff>(text.size()));
    CHECK(buffer.pubseekoff(0, std::ios::beg, std::ios::out) == std::streampos(-1));
    // The file grows.
    REQUIRE(::pwrite(its.get(), " more", 5, static_cast<off_t>(text.size())) == 5);
    in >> word;
    CHECK(word == "more");
  });
}

TEST_CASE("a stream on a reader of a pipe knows where it is, and cannot seek out of its block", "[stream_buffer]") {
  on_every_executor([](const auto& world) {
    pipe_ends pipe;
    auto queue = world.queue({.buffer_size = 512});
    reader source{queue, pipe.read_end.get()};
    reader_buf buffer{source};
    std::istream in{&buffer};
    pipe.put("one two");
    std::string word;
    in >> word;
    CHECK(word == "one");
    CHECK(in.tellg() == 3);
    in.seekg(1);
    CHECK(in.get() == 'n');
    in.seekg(100);
    CHECK(in.fail());
    in.clear();
    pipe.put(" three");
    pipe.write_end.reset();
    in >> word;
    CHECK(word == "e");
    in >> word >> word;
    CHECK(word == "three");
    CHECK(in.eof());
  });
}

TEST_CASE("a stream on a disk knows where the disk ends", "[stream_buffer]") {
  const descriptor image = temp_file_with(pattern(1 << 20));
  const std::optional<descriptor> device = loop_device_over(image);
  if (!device) {
    WARN(no_loop_devices);
    return;
  }
  asioq::asio_queue queue;
  reader source{queue, device->get()};
  reader_buf buffer{source};
  std::istream in{&buffer};
  in.seekg(-5, std::ios::end);
  CHECK(in.tellg() == (1 << 20) - 5);
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == pattern(1 << 20).substr((1 << 20) - 5));
  CHECK(asioq::writer(queue, device->get(), {.append = true}).position() == 1 << 20);
}

TEST_CASE("an error of a reader makes its stream bad, and the stream can go on behind it", "[stream_buffer]") {
  asioq::testing::simulated_disk disk{{.seed = run_seed()}};
  const int fd = disk.open("data");
  asioq::basic_asio_queue<asioq::testing::simulated_disk::executor_type> queue{disk.executor(), {.buffer_size = 512}};
  asioq::asio_request request = queue.get();
  const std::string text(300, 'x');
  for (std::uint64_t i = 0; i < 10; ++i) {
    request.prepare_write(fd, 512, i * 512);
    queue.submit(std::move(request));
    request = queue.wait();
  }
  disk.add({.file = "data", .offset = 600, .length = 1});
  reader source{queue, fd};
  reader_buf buffer{source};
  std::istream in{&buffer};
  std::string some(5120, '\0');
  in.read(some.data(), 5120);
  CHECK(in.bad());
  in.clear();
  CHECK(in.tellg() == 1024);
  in.read(some.data(), 4096);
  CHECK(in.good());
  in.exceptions(std::ios::badbit);
  in.seekg(600);
  CHECK_THROWS_AS(in.get(), asioq::read_error);
}

TEST_CASE("behind an error a stream does not show the block that was before it", "[stream_buffer]") {
  asioq::testing::simulated_disk disk{{.seed = run_seed()}};
  const int fd = disk.open("data");
  asioq::basic_asio_queue<asioq::testing::simulated_disk::executor_type> queue{disk.executor(), {.buffer_size = 512}};
  const std::string text = pattern(2048);
  for (std::size_t i = 0; i < text.size(); i += 512) {
    asioq::asio_request request = queue.get();
    set_text(request, text.substr(i, 512));
    request.prepare_write(fd, 512, i);
    queue.submit(std::move(request));
    REQUIRE_FALSE(queue.wait().error());
  }
  reader source{queue, fd};
  reader_buf buffer{source};
  std::istream in{&buffer};
  for (const bool puts_back : {false, true}) {
    disk.add({.file = "data", .offset = 512, .length = 1});
    in.seekg(0);
    std::string some(512, '\0');
    CHECK(in.read(some.data(), 512).good());
    CHECK(in.get() == std::istream::traits_type::eof());
    CHECK(in.bad());
    disk.heal();
    in.clear();
    CHECK(in.tellg() == 1024);
    if (puts_back) {
      CHECK(in.unget().bad());  // the character is not in the block any more
      in.clear();
    }
    in.seekg(600);
    CHECK(static_cast<char>(in.get()) == text[600]);
  }
}

TEST_CASE("operator<< writes a file, also past the page cache", "[stream_buffer]") {
  on_every_executor([](const auto& world) {
    std::optional<descriptor> direct = direct_file();
    if (!direct) WARN(no_direct_io);
    const descriptor plain = direct ? reopen(*direct, O_RDWR) : temp_file();
    const asioq::file its = asioq::file::create("/proc/self/fd/" + std::to_string(plain.get()));
    auto queue = world.queue({.buffer_size = 4096});
    asioq::writer sink{queue, its};
    asioq::writer_buf buffer{sink};
    std::ostream out{&buffer};
    std::ostringstream expected;
    for (std::ostream* one : {&out, static_cast<std::ostream*>(&expected)})
      for (int i = 0; i < 2000; ++i)
        *one << "line " << i << std::setw(i % 17) << 'x' << '\n' << (i % 500 ? "" : pattern(5000));
    CHECK(out.good());
    CHECK(out.tellp() == static_cast<std::streamoff>(expected.str().size()));
    sink.write(std::as_bytes(std::span(std::string_view("not by the stream"))));
    expected << "not by the stream";
    out << std::flush;
    CHECK(sink.written_through() == expected.str().size());
    CHECK(contents(plain).substr(0, expected.str().size()) == expected.str());
    out << "the end";
    sink.close();
    CHECK(contents(plain) == expected.str() + "the end");
    CHECK(buffer.pubseekoff(0, std::ios::beg, std::ios::out) == std::streampos(-1));
    CHECK(buffer.pubseekoff(0, std::ios::cur, std::ios::in) == std::streampos(-1));
  });
}

TEST_CASE("a failure of a writer makes its stream bad, and after retry() it goes on", "[stream_buffer]") {
  asioq::testing::simulated_disk disk{{.seed = run_seed()}};
  asioq::basic_asio_queue<asioq::testing::simulated_disk::executor_type> queue{disk.executor(), {.buffer_size = 512}};
  asioq::writer sink{queue, disk.open("data")};
  asioq::writer_buf buffer{sink};
  std::ostream out{&buffer};
  disk.fail_next(asioq::asio_op::write, std::errc::no_space_on_device);
  out << "one" << std::flush;
  CHECK(out.bad());
  out.clear();
  out << "two";
  CHECK(out.bad());
  CHECK(sink.position() == 3);
  sink.retry();
  out.clear();
  out << "two" << std::flush;
  CHECK(out.good());
  CHECK(text_of(disk.contents("data")) == "onetwo");
  disk.fail_next(asioq::asio_op::write, std::errc::no_space_on_device);
  out.exceptions(std::ios::badbit);
  CHECK_THROWS_AS(out << "three" << std::flush, std::system_error);
  sink.retry();
}
