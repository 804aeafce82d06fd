// Runs a random program on a queue and records its history.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/error.hpp>
#include <asioq/request.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "any_queue.hpp"
#include "faulty_disk.hpp"
#include "playground.hpp"
#include "program.hpp"

namespace asioq_test {

/// How a request came back.
struct returned {
  std::size_t index;  // in the program's steps
  asioq::asio_op op;
  int error;  // an errno value
  std::size_t bytes;
  std::size_t hash;  // of the bytes

  bool operator==(const returned&) const = default;
};

/// What a resume() has acknowledged: the failures of the requests below `least` for certain, those of requests from
/// `most` on for certain not. In between it depends on when they finished.
struct acknowledgement {
  std::size_t least = 0;
  std::size_t most = 0;
};

/// What came of a program.
struct history {
  std::vector<returned> returns;
  std::vector<std::string> remains;
  std::optional<std::vector<std::string>> synced;  // on a simulated disk: what the syncs have found
  std::vector<bool> resumed;                       // for each step: whether resume() was called right before
  std::vector<acknowledgement> acknowledged;       // for each step: by the last resume() before it
  std::vector<bool> late;  // for each step: submitted when a failure that holds it had come back
  std::string complaint;   // the first mistake that needs no comparison

  /// For each step: whether it came back with this error, or with any error.
  [[nodiscard]] std::vector<bool> with_error(int error) const {
    std::vector<bool> all(late.size());
    for (const returned& one : returns) all[one.index] = error == 0 ? one.error != 0 : one.error == error;
    return all;
  }
};

/// Runs a program once.
class program_run {
 public:
  program_run(any_queue& queue, const program& its, const playground& files, faulty_disk* disk)
      : queue_(queue), program_(its), files_(files), disk_(disk), random_(its.seed) {
    made_.resumed.resize(its.steps.size());
    made_.acknowledged.resize(its.steps.size());
    made_.late.resize(its.steps.size());
  }

  /// As the program says, resuming now and then.
  history run() {
    for (next_ = 0; next_ < program_.steps.size(); ++next_) {
      switch (program_.steps[next_].before) {
        case program::step::pause::collect_one:
          collect(queue_.wait());
          break;
        case program::step::pause::collect_if_any:
          collect(queue_.try_wait());
          break;
        case program::step::pause::sync:
          sync();
          break;
        case program::step::pause::none:
          break;
      }
      submit(next_);
      if (queue_.running_writebacks() > program_.max_writebacks) complain("too many write-backs");
    }
    sync();
    while (collect(queue_.wait())) {
    }
    for (std::size_t i = 1; i < made_.returns.size(); ++i)
      if (made_.returns[i - 1].index >= made_.returns[i].index) complain("requests came back in another order");
    return finish();
  }

  /// Again what has run, without what was cancelled.
  history run_like(const history& pattern) {
    const std::vector<bool> cancelled = pattern.with_error(ECANCELED);
    replays_ = true;
    made_.resumed = pattern.resumed;
    for (next_ = 0; next_ < program_.steps.size(); ++next_) {
      if (pattern.resumed[next_]) {
        // As many have finished as then had, and on an executor that leaves them for later no more.
        const auto begin = cancelled.begin();
        const auto most = begin + static_cast<std::ptrdiff_t>(pattern.acknowledged[next_].most);
        const auto finished = static_cast<std::uint64_t>(std::count(begin, most, false));
        while (queue_.completed_through() < finished) collect(queue_.try_wait());
        queue_.resume();
        acknowledged_ = pattern.acknowledged[next_];  // as indices of steps
      }
      if (!cancelled[next_]) submit(next_);
    }
    while (collect(queue_.wait())) {
    }
    return finish();
  }

 private:
  history finish() {
    made_.remains = files_.remains();
    // A sync without a barrier may find more than what is older.
    if (disk_ != nullptr && !program_.syncs_are_passed) made_.synced = disk_->synced();
    return std::move(made_);
  }

  void complain(const std::string& what) {
    if (made_.complaint.empty()) made_.complaint = what + " (step " + std::to_string(next_) + ")";
  }

  void sync() {
    try {
      queue_.sync();
    } catch (const asioq::write_back_error&) {  // comes back, too
    }
    if (queue_.running_requests() != 0) complain("sync left something running");
  }

  void resume() {
    acknowledged_.least = queue_.completed_through();
    queue_.resume();
    acknowledged_.most = queue_.completed_through();
    held_ = false;
    made_.resumed[next_] = true;
  }

  void submit(std::size_t index) {
    const program::step& step = program_.steps[index];
    asioq::asio_request request = queue_.get();
    const int fd = files_.targets()[step.target].fd;
    const std::string_view text = text_for(index);
    std::ranges::copy(std::as_bytes(std::span(text)), request.buffer().subspan(step.first).begin());
    switch (step.op) {
      case asioq::asio_op::read:
        request.prepare_read(fd, step.length, step.offset);
        break;
      case asioq::asio_op::write:
        request.prepare_write(fd, step.length, step.offset);
        break;
      case asioq::asio_op::write_back:
        request.prepare_write_back(fd, step.length, step.offset);
        break;
      case asioq::asio_op::truncate:
        request.prepare_truncate(fd, step.offset);
        break;
      case asioq::asio_op::allocate:
        request.prepare_allocate(fd, step.length, step.offset);
        break;
      case asioq::asio_op::fsync:
        request.prepare_fsync(fd, program_.barrier());
        break;
      default:
        request.prepare_fdatasync(fd, program_.barrier());
        break;
    }
    if (step.first != 0) request.use_from(step.first);
    request.set_user_data(const_cast<program::step*>(&step));
    if (disk_ != nullptr) disk_->refuses = step.refused && !replays_;
    while (request) {
      made_.late[index] = held_;
      made_.acknowledged[index] = acknowledged_;
      try {
        queue_.submit(std::move(request));
      } catch (const asioq::write_back_error&) {
        if (!collect(queue_.wait())) return complain("a write_back_error though no failed one is left");
      } catch (const std::system_error& error) {
        if (error.code().value() != EAGAIN) return complain(error.what());
      }
    }
    if (disk_ != nullptr) disk_->refuses = false;
  }

  [[nodiscard]] std::string_view text_for(std::size_t index) const {
    return playground::noise(index * 397, program_.steps[index].length);
  }

  bool collect(const asioq::asio_request& done) {
    if (!done) return false;
    const auto* const step = static_cast<const program::step*>(done.user_data());
    const auto index = static_cast<std::size_t>(step - program_.steps.data());
    if (done.op() != step->op || done.length() != step->length || done.offset() != step->offset ||
        done.fd() != files_.targets()[step->target].fd || (!replays_ && done.sequence() != index))
      complain("a request came back with other values");
    const std::span<const std::byte> whole = done.buffer().subspan(step->first, step->length);
    if (step->op != asioq::asio_op::read && view_of(whole) != text_for(index))
      complain("a request came back with other data");
    made_.returns.push_back({index, done.op(), done.error().value(), done.bytes_transferred(),
                             std::hash<std::string_view>{}(view_of(done.data()))});
    // What was cancelled for a failure that has been acknowledged holds nothing.
    if (!replays_ && done.error() && index >= acknowledged_.most) {
      if (done.error().value() != ECANCELED) held_ = true;
      if (next_ < program_.steps.size() && random_() % 2 == 0) resume();
    }
    return true;
  }

  static std::string_view view_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  any_queue& queue_;
  const program& program_;
  const playground& files_;
  faulty_disk* const disk_;  // what the queue is on, if it is one
  std::mt19937_64 random_;
  history made_;
  bool replays_ = false;
  std::size_t next_ = 0;          // step to be submitted
  acknowledgement acknowledged_;  // by the last resume()
  bool held_ = false;             // a failure that it has not acknowledged has come back
};

}  // namespace asioq_test
