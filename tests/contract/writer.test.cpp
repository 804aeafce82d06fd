#include <asioq/testing/simulated_disk.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "child.hpp"
#include "coroutines.hpp"
#include "counting_new.hpp"
#include "every_executor.hpp"
#include "faults.hpp"
#include "mounts.hpp"
#include "requests.hpp"
#include "seed.hpp"

using namespace asioq_test;

namespace {

using asioq::retention;
using asioq::testing::disk_options;
using disk = asioq::testing::simulated_disk;
using disk_queue = asioq::basic_asio_queue<disk::executor_type>;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Text in which no part is like another.
std::string text_of_length(std::size_t length, std::mt19937_64& random) {
  std::string text(length, '\0');
  for (char& one : text) one = static_cast<char>('a' + random() % 26);
  return text;
}

std::string contents_of(const std::filesystem::path& path) { return contents(open_path(path, O_RDONLY)); }

std::string text_in(const disk& its, std::string_view name) { return text_of(its.contents(name)); }

/// A file on a disk of this machine.
class real_place {
 public:
  real_place(const std::filesystem::path& folder, asioq::direct_io mode) : folder_(folder), mode_(mode) { open(); }

  void open() {
    file_.reset();
    file_.emplace(asioq::file::open_for_writing(folder_.path() / "file", mode_));
  }
  [[nodiscard]] const asioq::file& target() const { return *file_; }
  [[nodiscard]] std::string contents() const { return contents_of(folder_.path() / "file"); }
  [[nodiscard]] bool is_real() const { return true; }

 private:
  temp_dir folder_;
  asioq::direct_io mode_;
  std::optional<asioq::file> file_;
};

/// A file on a simulated disk.
class simulated_place {
 public:
  explicit simulated_place(disk& its) : disk_(its) { open(); }

  void open() { fd_ = disk_.open("file"); }
  [[nodiscard]] int target() const { return fd_; }
  [[nodiscard]] std::string contents() const { return text_in(disk_, "file"); }

 private:
  disk& disk_;
  int fd_ = -1;
};

/// Does what a program may do with writers of a file, and what it must find there.
template <class Queue, class Place>
class random_program {
 public:
  random_program(Queue& queue, Place& place, std::mt19937_64 random, std::size_t unit = 4096)
      : queue_(queue),
        place_(place),
        random_(random),
        buffer_(queue.options().buffer_size),
        block_(buffer_ - buffer_ % unit) {}

  void run(int writers, int steps) {
    for (int i = 0; i < writers; ++i) {
      place_.open();
      one_writer(steps);
      CHECK(place_.contents() == model_);
    }
  }

 private:
  using writer = asioq::writer<Queue>;

  [[nodiscard]] bool chance(std::size_t of) { return below(random_, of) == 0; }

  [[nodiscard]] std::size_t some_length() {
    switch (below(random_, 4)) {
      case 0:
        return below(random_, 16);
      case 1:
        return below(random_, buffer_);
      case 2:
        return buffer_ / 2 * below(random_, 5) + below(random_, 3);
      default:
        return below(random_, 4 * buffer_);
    }
  }

  void one_writer(int steps) {
    asioq::writer_options options{.offset = 0, .append = chance(3), .max_behind = 1 + below(random_, 6 * buffer_)};
    if (chance(2)) options.offset = below(random_, model_.size() + 2 * buffer_);
    if (chance(3)) options.keep = retention::until_durable;
    INFO("offset " << options.offset << ", append " << options.append << ", max_behind " << options.max_behind
                   << ", until durable " << (options.keep == retention::until_durable));
    writer sink{queue_, place_.target(), options};
    position_ = options.append ? model_.size() : static_cast<std::size_t>(options.offset);
    REQUIRE(sink.position() == position_);
    for (int i = 0; i < steps; ++i) {
      step(sink);
      REQUIRE(sink.position() == position_);
      REQUIRE(sink.written_through() <= sink.position());
      REQUIRE(sink.durable_through() <= sink.written_through());
    }
    if (chance(4)) return;  // its destructor does the same
    sink.close();
    REQUIRE(sink.written_through() == position_);
    if (options.keep == retention::until_durable) REQUIRE(sink.durable_through() == position_);
  }

  void step(writer& sink) {
    switch (below(random_, 12)) {
      case 0:
        sink.flush();
        CHECK(sink.written_through() == position_);
        check_prefix();
        break;
      case 1:
        sink.sync();
        CHECK(sink.durable_through() == position_);
        CHECK(place_.contents() == model_);
        break;
      case 2:
        sink.start_flush();
        break;
      case 3:
        sink.start_sync();
        break;
      case 4: {
        const std::size_t count = below(random_, block_ + 1);
        const std::span<std::byte> room = sink.reserve(count);
        REQUIRE(room.size() == count);
        const std::string text = text_of_length(chance(2) ? count : below(random_, count + 1), random_);
        std::memcpy(room.data(), text.data(), text.size());
        if (chance(8)) break;
        sink.commit(text.size());
        note(text);
        break;
      }
      case 5:
        put(sink);
        break;
      case 6:
        static_cast<void>(queue_.poll());
        break;
      default: {
        const std::string text = text_of_length(some_length(), random_);
        sink.write(bytes_of(text));
        note(text);
      }
    }
  }

  /// A block that a request has, anywhere in its buffer.
  void put(writer& sink) {
    asioq::asio_request block = queue_.get();
    const std::size_t first = chance(2) ? 0 : below(random_, buffer_);
    const std::string text = text_of_length(chance(2) ? buffer_ - first : below(random_, buffer_ - first + 1), random_);
    std::memcpy(block.buffer().data() + first, text.data(), text.size());
    asioq::detail::request_access::narrow(block, block.buffer().subspan(first, text.size()), 0);
    sink.put(std::move(block));
    CHECK_FALSE(block);
    note(text);
  }

  void note(const std::string& text) {
    if (text.empty()) return;
    model_.resize(std::max(model_.size(), position_ + text.size()));
    model_.replace(position_, text.size(), text);
    position_ += text.size();
  }

  /// There may be padding.
  void check_prefix() {
    const std::string found = place_.contents();
    REQUIRE(found.size() >= model_.size());
    CHECK(found.compare(0, model_.size(), model_) == 0);
  }

  Queue& queue_;
  Place& place_;
  std::mt19937_64 random_;
  std::size_t buffer_;
  std::size_t block_;  // what can be reserved
  std::string model_;
  std::size_t position_ = 0;
};

/// File systems with and without direct transfers, those with an alignment first.
const std::array<std::filesystem::path, 2> folders{"/var/tmp", "/dev/shm"};

}  // namespace

TEST_CASE("what a writer was given is in the file, whatever the program does", "[writer]") {
  on_every_executor([](const auto& world) {
    std::uint64_t stream = 100;
    for (const std::filesystem::path& folder : folders) {
      for (const auto mode : {asioq::direct_io::preferred, asioq::direct_io::off}) {
        real_place place(folder, mode);
        auto queue = world.queue({.buffer_size = 8192});
        INFO("seed " << run_seed() << ", in " << folder << ", direct " << place.target().is_direct());
        random_program program(queue, place, random_source(++stream));
        program.run(3, 12);
      }
    }
  });
}

TEST_CASE("the same on a simulated disk, with alignments of all kinds", "[writer]") {
  in_every_order([](asioq::execution_order order) {
    for (std::uint64_t i = 0; i < 300; ++i) {
      std::mt19937_64 random = random_source(1000 + i);
      const std::size_t unit = std::size_t{1} << (random() % 2 == 0 ? 0 : 4 + random() % 4);
      disk its{{.seed = random(), .sector_size = 16, .direct_alignment = unit}};
      simulated_place place(its);
      disk_queue queue{its.executor(), {.buffer_size = unit * (1 + random() % 4) + random() % unit, .order = order}};
      INFO("seed " << run_seed() << ", program " << i << ", alignment " << unit << ", buffers of "
                   << queue.options().buffer_size);
      random_program program(queue, place, random, unit);
      program.run(3, 20);
    }
  });
}
