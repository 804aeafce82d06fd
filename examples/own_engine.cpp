// Shows an engine of your own, an io_executor. It is a disk with one arm, for real files, on a clock that is made up.
//
// It carries out next what is nearest to the arm, so it shows what a queue does with an engine that completes in any
// order. And a disk that is slow, has a bad track, and takes no real time is good for the tests of a program.
#include <asioq/asioq.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using asioq::asio_op;
using std::chrono::microseconds;

constexpr std::uint64_t track = 4 << 20;  // bytes; the arm crosses one in a millisecond
constexpr std::uint64_t bad_track = 5;

// These are for requests and for their operations.
bool moves_data(const auto& what) { return what.op() == asio_op::read || what.op() == asio_op::write; }

/// Like "w5": a write to track 5.
std::string name_of(const auto& what) {
  if (!moves_data(what)) return "sync";
  return (what.op() == asio_op::read ? "r" : "w") + std::to_string(what.offset() / track);
}

/// Carries out an operation. Returns the bytes transferred, or an errno value negated. Short transfers and EINTR may be
/// passed on as they are: the queue asks for the rest.
std::int64_t carry_out(const asioq::io_operation& operation) {
  if (moves_data(operation) && operation.offset() / track == bad_track) return -EIO;
  return asioq::perform(operation);  // the system call that it stands for
}

class one_armed_disk {
 public:
  /// What queues get: a handle, as small as a pointer. The disk outlives them.
  struct executor_type {
    one_armed_disk* disk;

    // Takes the operation, and must not complete it. If this throws, it has not been taken.
    void start(asioq::io_operation& operation) const { disk->waiting_.push_back(&operation); }
    // Completes what is ready, and does not block: these files are a disk's. On this clock, asking takes a little time.
    void poll() const { disk->work_until(disk->now + microseconds(50)); }
    // Completes something. Others sleep for that, until the deadline at most; here the time is just said to have
    // passed.
    void wait_until(std::chrono::steady_clock::time_point /*deadline*/) const { disk->work_until(microseconds::max()); }
    bool operator==(const executor_type&) const = default;
  };

  executor_type executor() { return {this}; }

  microseconds now{};
  std::string diary;  // of what it has done

 private:
  void work_until(microseconds limit) {
    if (current_ == nullptr) {
      if (waiting_.empty()) return;
      const auto nearest = std::ranges::min_element(waiting_, {}, [this](const auto* one) { return way_to(*one); });
      current_ = *nearest;
      waiting_.erase(nearest);
      ready_at_ = now + microseconds(100 + way_to(*current_) * 1000 / track);
    }
    now = std::min(ready_at_, limit);
    if (now < ready_at_) return;
    diary += ' ' + name_of(*current_);  // may throw: then the operation is still there, and the next call goes on
    asioq::io_operation& ready = *std::exchange(current_, nullptr);
    if (moves_data(ready)) arm_ = ready.offset();
    // Last: inside, the queue may start other operations, and what is left of this one.
    ready.complete(carry_out(ready));
  }

  [[nodiscard]] std::uint64_t way_to(const asioq::io_operation& operation) const {
    if (!moves_data(operation)) return 0;
    return std::max(operation.offset(), arm_) - std::min(operation.offset(), arm_);
  }

  std::vector<asioq::io_operation*> waiting_;
  asioq::io_operation* current_ = nullptr;  // what the arm is on its way to
  microseconds ready_at_{};
  std::uint64_t arm_ = 0;
};
static_assert(asioq::io_executor<one_armed_disk::executor_type>);

/// Writes to all tracks, reads them back, and syncs, all submitted at once. Returns what the waits returned.
std::string write_and_read(one_armed_disk& disk, int fd, asioq::execution_order order) {
  constexpr std::uint64_t tracks = 8;
  asioq::basic_asio_queue<one_armed_disk::executor_type> queue{disk.executor(), {.buffer_size = 4096, .order = order}};
  for (const asio_op op : {asio_op::write, asio_op::read}) {
    for (std::uint64_t i = 0; i < tracks; ++i) {
      const std::uint64_t place = i * 5 % tracks;  // here and there
      asioq::asio_request request = queue.get();
      std::ranges::fill(request.buffer(), op == asio_op::write ? std::byte(place) : std::byte(0xff));
      if (op == asio_op::write) request.prepare_write(fd, 4096, place * track);
      if (op == asio_op::read) request.prepare_read(fd, 4096, place * track);
      queue.submit(std::move(request));
    }
  }
  asioq::asio_request last = queue.get();
  last.prepare_fsync(fd);
  queue.submit(std::move(last));

  std::string returned;
  while (const asioq::asio_request done = queue.wait()) {
    returned += ' ' + name_of(done);
    if (done.error()) returned += " (" + done.error().message() + ')';
    const auto expected = std::byte(done.offset() / track);
    if (!std::ranges::all_of(done.data(), [&](std::byte b) { return b == expected; })) returned += " (wrong)";
  }
  return returned;
}

}  // namespace

int main() try {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) throw std::runtime_error("no temporary file");
  one_armed_disk slow;
  one_armed_disk fast;
  const std::string returned = write_and_read(slow, ::fileno(file), asioq::execution_order::strict);
  const bool same = returned == write_and_read(fast, ::fileno(file), asioq::execution_order::as_if_serial);
  std::fclose(file);
  std::printf("results, in both orders:%s\n", returned.c_str());
  std::printf("strict, %lld us:%s\n", static_cast<long long>(slow.now.count()), slow.diary.c_str());
  std::printf("as if serial, %lld us:%s\n", static_cast<long long>(fast.now.count()), fast.diary.c_str());
  if (!same || fast.now >= slow.now || returned.find("wrong") != std::string::npos)
    throw std::runtime_error("these are not the results of a disk with one bad track");
} catch (const std::exception& error) {
  std::fprintf(stderr, "own_engine: %s\n", error.what());
  return 1;
}
