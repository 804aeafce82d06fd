// Random programs on a queue and the simulated disk, in both orders, against a model that is a string. Then the power
// fails at a random moment: what a successful sync has covered must be there, and the rest old or new.
#include <asioq/asioq.hpp>
#include <asioq/testing/simulated_disk.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "requests.hpp"
#include "seed.hpp"

using asioq::asio_op;
using asioq::testing::disk_options;
using asioq::testing::failed_sync;
using asioq::testing::simulated_disk;
using namespace asioq_test;

namespace {

using disk_queue = asioq::basic_asio_queue<simulated_disk::executor_type>;

/// A file as a serial run has it: its states since the last one that a successful sync is known to have covered.
struct modelled_file {
  std::string name;
  int plain = -1;
  int appending = -1;
  std::size_t position = 0;  // of `plain`
  std::deque<std::string> states{""};
  std::deque<std::size_t> ends{0};  // for each state, the size that the change alone would give
  std::size_t forgotten = 0;        // states before those
  bool has_lost = false;            // a sync has failed, and may have dropped data

  [[nodiscard]] const std::string& now() const { return states.back(); }
  /// The number of the newest state.
  [[nodiscard]] std::size_t version() const { return forgotten + states.size() - 1; }

  void write(std::size_t place, const std::string& text) {
    if (text.empty()) return;
    std::string next = now();
    next.resize(std::max(next.size(), place + text.size()));
    next.replace(place, text.size(), text);
    change_to(std::move(next), place + text.size());
  }
  void resize(std::size_t size) {
    std::string next = now();
    next.resize(size);
    change_to(std::move(next), size);
  }
  void change_to(std::string next, std::size_t end) {
    states.push_back(std::move(next));
    ends.push_back(end);
  }
  void synced(std::size_t version) {
    for (; forgotten < version; ++forgotten) {
      states.pop_front();
      ends.pop_front();
      ends.front() = states.front().size();
    }
  }
  void restart_with(std::string text) {
    states = {std::move(text)};
    ends = {states.front().size()};
    forgotten = position = 0;
    has_lost = false;
  }
};

class random_run {
 public:
  random_run(std::uint64_t seed, asioq::execution_order order)
      : random_(seed),
        order_(order),
        is_aligned_(chance(2)),
        unit_(std::size_t{16} << below(random_, 4)),
        disk_(options(seed)) {
    files_[0].name = "first";
    files_[1].name = "second";
  }

  /// Several lives of a program; each ends with a power cut, but the last.
  void run() {
    for (int lives = 1 + static_cast<int>(below(random_, 3)); lives > 0; --lives) live(lives > 1 || chance(2));
  }

  bool has_cut_power = false;

 private:
  struct expectation {
    asio_op op;
    modelled_file* file;
    std::string data;     // of a read
    std::size_t version;  // of a sync: what it covers
  };

  [[nodiscard]] bool chance(std::size_t of) { return below(random_, of) == 0; }

  disk_options options(std::uint64_t seed) {
    disk_options its{.seed = seed, .sector_size = unit_, .reorders = !chance(8), .keeps_log = false};
    if (is_aligned_) its.short_transfers = 0;  // else a part of a sector may be written
    its.on_failed_sync = chance(2) ? failed_sync::drops_data : failed_sync::keeps_data;
    its.latency.depth = 1 + below(random_, 8);
    return its;
  }

  void live(bool fails) {
    disk_queue queue{disk_.executor(),
                     {.buffer_size = 1024, .order = order_, .max_in_flight = 8, .on_lost_failure = [](auto&) {}}};
    for (modelled_file& file : files_) {
      file.plain = disk_.open(file.name);
      file.appending = disk_.open(file.name, {.appends = true});
    }
    if (chance(3)) disk_.fail_next(asio_op::fsync, std::errc::io_error, below(random_, 3));
    for (std::size_t left = 1 + below(random_, 40); left > 0; --left) {
      submit_one(queue);
      while (chance(3) && !expected_.empty()) collect(queue.wait());
      while (chance(2))
        if (asioq::asio_request done = queue.try_wait()) collect(std::move(done));
    }
    if (fails) {
      has_cut_power = true;
      expected_.clear();
      disk_.crash();
      while (queue.wait()) {
      }
      // Those of the old queue have not changed what is left.
      for (modelled_file& file : files_) check_what_is_left(file);
      return;
    }
    while (!expected_.empty()) collect(queue.wait());
    for (const modelled_file& file : files_) CHECK(text_of(disk_.contents(file.name)) == file.now());
  }

  /// A number of bytes below a limit, in whole sectors if that is the mode.
  std::size_t some(std::size_t limit) {
    const std::size_t bytes = below(random_, limit);
    return is_aligned_ ? bytes / unit_ * unit_ : bytes;
  }

  void submit_one(disk_queue& queue) {
    modelled_file& file = files_[below(random_, files_.size())];
    asioq::asio_request request = queue.get();
    expectation its{.op = asio_op::write, .file = &file, .data = {}, .version = 0};
    const std::size_t length = some(600);
    const std::size_t place = some(1500);
    const std::string text(length, static_cast<char>('a' + letter_++ % 26));
    switch (below(random_, 9)) {
      case 0:
      case 1:
        set_text(request, text);
        request.prepare_write(file.plain, length, place);
        file.write(place, text);
        break;
      case 2:
        set_text(request, text);
        request.prepare_write(file.plain, length);
        file.write(file.position, text);
        file.position += length;
        break;
      case 3:
        set_text(request, text);
        request.prepare_write(file.appending, length, chance(2) ? 0 : place);
        file.write(file.now().size(), text);
        break;
      case 4:
        request.prepare_read(file.plain, length, place);
        its.op = asio_op::read;
        its.data = place < file.now().size() ? file.now().substr(place, length) : "";
        break;
      case 5:
        request.prepare_truncate(file.plain, place);
        file.resize(place);
        its.op = asio_op::truncate;
        break;
      case 6:
        request.prepare_allocate(file.plain, length + unit_, place);
        file.resize(std::max(file.now().size(), place + length + unit_));
        its.op = asio_op::allocate;
        break;
      default:
        request.prepare_fsync(chance(2) ? file.plain : file.appending);
        its.op = asio_op::fsync;
        its.version = file.version();
    }
    expected_.push_back(std::move(its));
    queue.submit(std::move(request));
  }

  void collect(const asioq::asio_request& done) {
    const expectation its = std::move(expected_.front());
    expected_.pop_front();
    REQUIRE(done.op() == its.op);
    if (its.op == asio_op::read) CHECK(text_of(done.data()) == its.data);
    if (its.op == asio_op::write) CHECK(done.bytes_transferred() == done.length());
    if (its.op != asio_op::fsync) {
      CHECK_FALSE(done.error());
    } else if (done.error()) {
      its.file->has_lost = true;
    } else if (!its.file->has_lost) {
      its.file->synced(its.version);
    }
  }

  void check_what_is_left(modelled_file& file) {
    const std::string text = text_of(disk_.contents(file.name));
    INFO("file " << file.name << ", sectors of " << unit_ << ", aligned " << is_aligned_);
    // An end that a write alone gives is one, too: what is older may not have been carried out.
    std::vector<std::size_t> sizes(file.ends.begin(), file.ends.end());
    for (const std::string& state : file.states) sizes.push_back(state.size());
    const auto [least, most] = std::ranges::minmax(sizes);
    if (is_aligned_)
      CHECK(std::ranges::find(sizes, text.size()) != sizes.end());
    else
      CHECK((text.size() >= least && text.size() <= most));

    const std::size_t part = is_aligned_ ? unit_ : 1;
    for (std::size_t at = 0; at < text.size(); at += part) {
      const std::string found = text.substr(at, part);
      const bool is_a_state = std::ranges::any_of(file.states, [&](const std::string& state) {
        std::string its = at < state.size() ? state.substr(at, found.size()) : "";
        its.resize(found.size());
        return its == found;
      });
      if (!is_a_state) FAIL_CHECK("neither old nor new at " << at << ": " << found);
    }
    file.restart_with(text);
  }

  std::mt19937_64 random_;
  asioq::execution_order order_;
  bool is_aligned_;   // every write covers whole sectors
  std::size_t unit_;  // a sector
  simulated_disk disk_;
  std::array<modelled_file, 2> files_;
  std::deque<expectation> expected_;
  unsigned letter_ = 0;
};

void run_many(asioq::execution_order order) {
  constexpr std::uint64_t programs = 1500;
  int cuts = 0;
  for (std::uint64_t i = 0; i < programs; ++i) {
    const std::uint64_t its = run_seed() + i;
    INFO("ASIOQ_SEED=" << its << " has it as its first program");
    random_run program(its, order);
    program.run();
    cuts += program.has_cut_power ? 1 : 0;
  }
  CHECK(cuts > 1000);
}

}  // namespace

TEST_CASE("in strict order, a power cut leaves what was synced, and the rest old or new", "[simulation]") {
  run_many(asioq::execution_order::strict);
}

TEST_CASE("as if serial, a power cut leaves what was synced, and the rest old or new", "[simulation]") {
  run_many(asioq::execution_order::as_if_serial);
}
