// Random programs that write a file through streams, and what they must find in it.
#pragma once

#include <asioq/asioq.hpp>
#include <asioq/testing/simulated_disk.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "catch.hpp"
#include "files.hpp"
#include "requests.hpp"
#include "seed.hpp"
#ifdef ASIOQ_TEST_WRITER_ON_TRIAL
#include "writer_on_trial.hpp"
#endif

namespace asioq_test {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Text in which no part is like another.
inline std::string text_of_length(std::size_t length, std::mt19937_64& random) {
  std::string text(length, '\0');
  for (char& one : text) one = static_cast<char>('a' + random() % 26);
  return text;
}

/// A file on a disk of this machine.
class real_place {
 public:
  real_place(const std::filesystem::path& folder, asioq::direct_io mode) : folder_(folder), mode_(mode) { open(); }

  void open() {
    file_.reset();
    file_.emplace(asioq::file::open_for_writing(path(), mode_));
  }
  [[nodiscard]] const asioq::file& target() const { return *file_; }
  [[nodiscard]] std::string contents() const { return asioq_test::contents(open_path(path(), O_RDONLY)); }
  [[nodiscard]] std::filesystem::path path() const { return folder_.path() / "file"; }

 private:
  temp_dir folder_;
  asioq::direct_io mode_;
  std::optional<asioq::file> file_;
};

/// Where a test that runs on every executor has its files. In memory, and on some of the executors on a disk, where
/// direct transfers must be aligned and syncs take long.
template <class World>
std::filesystem::path folder_of(const World& world) {
  return world.is_single || world.is_kernel ? "/var/tmp" : "/dev/shm";
}

/// A file on a simulated disk.
class simulated_place {
 public:
  explicit simulated_place(asioq::testing::simulated_disk& its) : disk_(its) { open(); }

  void open() { fd_ = disk_.open("file"); }
  [[nodiscard]] int target() const { return fd_; }
  [[nodiscard]] std::string contents() const { return text_of(disk_.contents("file")); }

 private:
  asioq::testing::simulated_disk& disk_;
  int fd_ = -1;
};

#ifdef ASIOQ_TEST_WRITER_ON_TRIAL
template <class Queue>
using tested_writer = writer_on_trial<Queue>;  // see tests/mutations
inline constexpr std::uint64_t share_of_programs = 3;
#else
template <class Queue>
using tested_writer = asioq::writer<Queue>;
inline constexpr std::uint64_t share_of_programs = 1;
#endif

/// What a random program may do.
struct writer_habits {
  std::size_t unit = 4096;                   // the alignment, or a multiple of it
  std::optional<asioq::retention> keep{};    // by chance, if there is none
  bool insists = false;                      // after a failure it calls on_failure and retry(), and repeats the call
  std::function<void()> on_failure = [] {};  // deals with the cause
};

/// Does what a program may do with writers of a file. After each, the file must have what they were given.
template <class Queue, class Place>
class writer_program {
  using writer = tested_writer<Queue>;

 public:
  writer_program(Queue& queue, Place& place, std::mt19937_64 random, writer_habits habits = {})
      : queue_(queue),
        place_(place),
        random_(random),
        habits_(std::move(habits)),
        buffer_(queue.options().buffer_size),
        block_(buffer_ - buffer_ % habits_.unit) {}

  /// One writer after another, each with so many steps.
  void run(int writers, int steps) {
    for (int i = 0; i < writers; ++i) {
      place_.open();
      one_writer(steps);
      INFO(description_);
      CHECK(place_.contents() == model_);
    }
  }

  /// The same with one writer, which begins at any place. Ends with the first failure that is thrown.
  void run_one(int steps) { one_writer(steps); }

  /// What the file must have.
  [[nodiscard]] const std::string& model() const { return model_; }
  void set_model(std::string text) { model_ = std::move(text); }
  /// Failures that it was told of.
  /// The options of the last writer. (No INFO, which would stay after an exception.)
  [[nodiscard]] const std::string& description() const { return description_; }
  [[nodiscard]] int failures() const { return failures_; }
  /// Of the last writer, as it was when the program has ended: by then all before was durable.
  [[nodiscard]] std::size_t durable() const { return durable_; }
  [[nodiscard]] std::size_t begin() const { return begin_; }
  [[nodiscard]] std::size_t position() const { return position_; }
  /// Behind all that it has tried to write.
  [[nodiscard]] std::size_t farthest() const { return farthest_; }

 private:
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
    if (chance(3)) options.keep = asioq::retention::until_durable;
    if (habits_.keep) options.keep = *habits_.keep;
    keeps_ = options.keep == asioq::retention::until_durable;
    description_ = "offset " + std::to_string(options.offset) + ", append " + std::to_string(options.append) +
                   ", max_behind " + std::to_string(options.max_behind) + ", until durable " + std::to_string(keeps_);
    position_ = begin_ = farthest_ = options.append ? model_.size() : static_cast<std::size_t>(options.offset);
    writer sink{queue_, place_.target(), options};
    struct note_durable {
      ~note_durable() { into = static_cast<std::size_t>(its.durable_through()); }
      writer& its;
      std::size_t& into;
    } const noting{sink, durable_};
    REQUIRE(sink.position() == position_);
    for (int i = 0; i < steps; ++i) {
      step(sink);
      check(sink);
    }
    if (!habits_.insists && chance(4)) return;  // its destructor does the same
    insist(sink, [&] { sink.close(); });
    REQUIRE(sink.written_through() == position_);
    if (keeps_) REQUIRE(sink.durable_through() == position_);
  }

  void check(const writer& sink) {
    REQUIRE(sink.position() == position_);
    REQUIRE(sink.written_through() <= sink.position());
    REQUIRE(sink.durable_through() <= sink.written_through());
  }

  /// Calls until it succeeds. Returns false if it never will: that may be only a sync whose data are lost.
  template <class Call>
  bool insist(writer& sink, Call call, bool is_sync = false) {
    for (int tries = 0;; ++tries) {
      try {
        call();
        return true;
      } catch (const std::system_error& error) {
        if (!habits_.insists) throw;
        REQUIRE(sink.error() == error.code());
        check(sink);
        ++failures_;
        habits_.on_failure();
        sink.retry();
        if (is_sync && !keeps_ && tries > 2) return false;
        REQUIRE(tries < 8);
      }
    }
  }

  void step(writer& sink) {
    switch (below(random_, 12)) {
      case 0:
        insist(sink, [&] { sink.flush(); });
        CHECK(sink.written_through() == position_);
        check_prefix();
        break;
      case 1:
        if (!insist(sink, [&] { sink.sync(); }, true)) break;
        CHECK(sink.durable_through() == position_);
        CHECK(place_.contents() == model_);
        break;
      case 2:
        insist(sink, [&] { sink.start_flush(); });
        break;
      case 3:
        insist(sink, [&] { sink.start_sync(); }, true);
        break;
      case 4:
        reserve_and_commit(sink);
        break;
      case 5:
        put(sink);
        break;
      case 6:
        static_cast<void>(queue_.poll());
        break;
      default: {
        const std::string text = text_of_length(some_length(), random_);
        farthest_ = std::max(farthest_, position_ + text.size());
        insist(sink, [&] { sink.write(bytes_of(text)); });
        note(text);
      }
    }
  }

  void reserve_and_commit(writer& sink) {
    const std::size_t count = below(random_, block_ + 1);
    const std::string text = text_of_length(chance(2) ? count : below(random_, count + 1), random_);
    const bool commits = !chance(8);
    insist(sink, [&] {
      const std::span<std::byte> room = sink.reserve(count);
      REQUIRE(room.size() == count);
      std::memcpy(room.data(), text.data(), text.size());
      if (commits) sink.commit(text.size());
    });
    if (commits) note(text);
  }

  /// A block that a request has, anywhere in its buffer.
  void put(writer& sink) {
    if (queue_.options().max_requests == 1) return;  // the block would be the only one
    asioq::asio_request block = queue_.try_get();
    if (!block) return;
    const std::size_t first = chance(2) ? 0 : below(random_, buffer_);
    const std::string text = text_of_length(chance(2) ? buffer_ - first : below(random_, buffer_ - first + 1), random_);
    std::memcpy(block.buffer().data() + first, text.data(), text.size());
    asioq::detail::request_access::narrow(block, block.buffer().subspan(first, text.size()), 0);
    farthest_ = std::max(farthest_, position_ + text.size());
    insist(sink, [&] { sink.put(std::move(block)); });
    CHECK_FALSE(block);
    note(text);
  }

  void note(const std::string& text) {
    if (text.empty()) return;
    model_.resize(std::max(model_.size(), position_ + text.size()));
    model_.replace(position_, text.size(), text);
    position_ += text.size();
    farthest_ = std::max(farthest_, position_);
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
  writer_habits habits_;
  std::size_t buffer_;
  std::size_t block_;  // what can be reserved
  std::string model_;
  bool keeps_ = false;
  std::size_t begin_ = 0;
  std::size_t position_ = 0;
  std::size_t farthest_ = 0;
  std::size_t durable_ = 0;
  int failures_ = 0;
  std::string description_;
};

}  // namespace asioq_test
