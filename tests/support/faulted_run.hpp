// One fixed program of requests, run on a queue while something fails. What came back is compared with a serial run
// that has the same errors, so nothing may be lost, done twice or done out of order. Without Catch2, so that a process
// of its own can use it.
//
// While the program runs, this allocates nothing itself and asks the kernel for nothing that a test may let fail.
#pragma once

#include <asioq/asioq.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "files.hpp"
#include "made_failure.hpp"
#include "threads.hpp"

namespace asioq_test {

/// How a run collects its requests.
enum class collecting {
  by_wait,
  by_timed_wait,
  by_wait_with_token,
  by_receiver,
  in_event_loop,
  at_destruction,  // not at all: on_lost_failure is told of the failures
};
inline constexpr std::array all_ways_of_collecting{
    collecting::by_wait,     collecting::by_timed_wait, collecting::by_wait_with_token,
    collecting::by_receiver, collecting::in_event_loop, collecting::at_destruction};

struct run_manner {
  asioq::execution_order order = asioq::execution_order::strict;
  asioq::failure_policy policy = asioq::failure_policy::proceed;
  collecting way = collecting::by_wait;
  bool fills_disk = false;  // some writes go to /dev/full, and fail
};

inline std::string name_of(const run_manner& its) {
  constexpr std::array ways{"wait", "wait_for", "wait with a token", "receivers", "an event loop", "the destructor"};
  return std::string(its.order == asioq::execution_order::strict ? "strict" : "as if serial") +
         (its.policy == asioq::failure_policy::hold ? ", hold" : ", proceed") + ", collected by " +
         ways.at(static_cast<std::size_t>(its.way));
}

/// One request of the program, and what precedes it.
struct faulted_step {
  enum file_name : std::size_t { data, log, source, full, again, closing };  // `again` is `data`
  static constexpr std::uint64_t at_position = ~std::uint64_t{0};

  asioq::asio_op op;
  file_name file;
  std::size_t length = 0;
  std::uint64_t offset = at_position;
  bool syncs_first = false;  // the queue's sync() comes before it
};

/// The part that does not depend on the executor.
class faulted_run_base {
 public:
  /// On files that are empty, in the order of `faulted_step::file_name`.
  faulted_run_base(const run_manner& manner, std::array<descriptor, 3> files)
      : manner_(manner), results_(program.size()) {
    std::ranges::move(files, files_.begin());
    set_contents(files_[step::source], pattern(400, 99));
    files_[step::full] = open_path("/dev/full", O_RDWR);
    files_[step::again] = reopen(files_[step::data], O_RDWR);
    // A number that no other descriptor gets when it is closed.
    closing_fd_ = ::fcntl(files_[step::data].get(), F_DUPFD_CLOEXEC, 500);
    for (std::size_t i = 0; i < program.size(); ++i) {
      results_[i].data.reserve(buffer_size);
      texts_.push_back(pattern(program[i].length, static_cast<unsigned>(i)));
    }
    thrown_.reserve(most_tries);
    // With the first thread of a program, ThreadSanitizer starts one of its own.
    static std::once_flag has_started_one;
    std::call_once(has_started_one, [] { std::thread([] {}).join(); });
    threads_before_ = program_thread_count();
    descriptors_before_ = descriptor_count();
  }

  /// On files in memory.
  explicit faulted_run_base(const run_manner& manner)
      : faulted_run_base(manner, {memory_file(), memory_file(), memory_file()}) {}

  faulted_run_base(const faulted_run_base&) = delete;
  faulted_run_base& operator=(const faulted_run_base&) = delete;
  ~faulted_run_base() {
    if (is_open(closing_fd_)) ::close(closing_fd_);
  }

  /// After the run, when nothing fails any more: what is wrong; empty if nothing is.
  [[nodiscard]] std::string check(std::span<const made_failure> made) {
    if (!complaint_.empty()) return complaint_;
    check_books();
    check_causes(made);
    check_effects(made);
    check_what_is_left();
    return complaint_;
  }

  /// The errno values of what calls of the queue have thrown. ENOMEM for std::bad_alloc.
  [[nodiscard]] const std::vector<int>& thrown() const { return thrown_; }

  /// How many requests that are no syncs have failed with this error.
  [[nodiscard]] std::size_t failures(int error) const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < program.size(); ++i)
      if (results_[i].error == error && !asioq::traits_of(program[i].op).is_sync) ++count;
    return count;
  }

 protected:
  using step = faulted_step;
  using op = asioq::asio_op;

  static constexpr std::size_t buffer_size = 8192;
  static constexpr int most_tries = 200;

  /// Neighbours may leave as one system call where the executor merges. Syncs come twice, since their errors last.
  inline static const std::vector<step> program{
      {op::write, step::data, 1000, 0},
      {op::write, step::data, 500, 1000},
      {op::write_back, step::data, 700, 1500},
      {op::read, step::data, 600, 200},
      {op::write, step::log, 300},
      {op::write, step::log, 200},
      {op::write_back, step::log, 100},
      {op::read, step::data, 100, 0},
      {op::read, step::data, 100, 100},
      {op::write, step::again, 250, 150},
      {op::read, step::data, 300, 120},
      {op::read, step::again, 40, 0},
      {op::read, step::source, 150},
      {op::read, step::source, 150},
      {op::allocate, step::data, 2000, 4000},
      {op::write, step::full, 10, 0},
      {op::truncate, step::data, 0, 5000},
      {op::fsync, step::data},
      {op::write_back, step::data, 8192, 4096, true},
      {op::fdatasync, step::log},
      {op::close, step::closing},
      {op::write_back, step::full, 700, 0},
      {op::write, step::data, 300, 900},
      {op::write_back, step::log, 50},
      {op::fsync, step::data, 0, 0, true},
      {op::write_back, step::again, 500, 1200},
      {op::read, step::data, 8192, 0},
      {op::read, step::log, 700, 0},
      {op::truncate, step::log, 0, 500},
      {op::read, step::source, 150},
      {op::fdatasync, step::log},
      {op::fdatasync, step::again},
  };

  struct result {
    bool is_accepted = false;
    int returns = 0;
    int error = 0;
    std::size_t bytes = 0;
    std::string data;
  };

  [[nodiscard]] asioq::queue_options options() {
    return {.buffer_size = buffer_size,
            .max_writebacks = 3,
            .order = manner_.order,
            .max_in_flight = 4,
            .on_failure = manner_.policy,
            .on_lost_failure = [this](asioq::asio_request& request) {
              if (manner_.way != collecting::at_destruction) complain("a failure was lost", index_of(request));
              take(request);
            }};
  }

  [[nodiscard]] bool has_receivers() const {
    return manner_.way == collecting::by_receiver || manner_.way == collecting::in_event_loop;
  }

  [[nodiscard]] int fd_of(const step& its) const {
    return its.file == step::closing ? closing_fd_ : files_[its.file].get();
  }

  void prepare(asioq::asio_request& request, std::size_t index) {
    const step& its = program[index];
    const std::string& text = texts_[index];
    const int fd = fd_of(its);
    std::memcpy(request.buffer().data(), text.data(), text.size());
    switch (its.op) {
      case op::read:
        at_position(its) ? request.prepare_read(fd, its.length) : request.prepare_read(fd, its.length, its.offset);
        break;
      case op::write:
        at_position(its) ? request.prepare_write(fd, its.length) : request.prepare_write(fd, its.length, its.offset);
        break;
      case op::write_back:
        at_position(its) ? request.prepare_write_back(fd, its.length)
                         : request.prepare_write_back(fd, its.length, its.offset);
        break;
      case op::fsync:
        request.prepare_fsync(fd);
        break;
      case op::fdatasync:
        request.prepare_fdatasync(fd);
        break;
      case op::truncate:
        request.prepare_truncate(fd, its.offset);
        break;
      case op::allocate:
        request.prepare_allocate(fd, its.length, its.offset);
        break;
      case op::close:
      case op::free:
        request.prepare_close(fd);
        break;
    }
    request.set_user_data(const_cast<step*>(&its));
  }

  /// Takes in a request that came back.
  void take(asioq::asio_request& request) noexcept {
    const std::size_t index = index_of(request);
    const step& its = program[index];
    result& what = results_[index];
    ++what.returns;
    what.error = request.error().value();
    what.bytes = request.bytes_transferred();
    const std::span<const std::byte> bytes = request.data();
    what.data.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (request.op() != its.op || request.fd() != fd_of(its) || request.length() != its.length)
      complain("a request came back with other values", index);
    if (its.op != op::read && std::memcmp(request.buffer().data(), texts_[index].data(), its.length) != 0)
      complain("a request came back with other data", index);
    if (manner_.way != collecting::at_destruction && what.returns == 1 && index < next_to_return_)
      complain("requests came back in another order", index);
    next_to_return_ = index + 1;
  }

  void complain(const char* what, std::size_t index) noexcept {
    if (first_complaint_ != nullptr) return;
    first_complaint_ = what;
    first_index_ = index;
  }

  /// Calls until it does not throw, since only some calls fail. Returns false if that does not end.
  template <class Call>
  bool persist(Call call) {
    for (int tries = 0; tries < most_tries; ++tries) {
      try {
        call();
        return true;
      } catch (const std::bad_alloc&) {
        note(ENOMEM);
      } catch (const asioq::write_back_error&) {
        throw;
      } catch (const std::system_error& error) {
        note(error.code().value());
      }
    }
    complain("a call throws again and again", 0);
    return false;
  }

  [[nodiscard]] bool skips(const step& its) const { return its.file == step::full && !manner_.fills_disk; }

  void end() {
    if (first_complaint_ == nullptr) return;
    complaint_ = std::string(first_complaint_) + " (step " + std::to_string(first_index_) + ")";
  }

  const run_manner manner_;
  std::vector<result> results_;

 private:
  static descriptor memory_file() { return descriptor{::memfd_create("asioq-test", MFD_CLOEXEC)}; }

  static bool at_position(const step& its) { return its.offset == step::at_position; }

  static bool is_open(int fd) { return ::syscall(SYS_fcntl, fd, F_GETFD) >= 0; }

  static std::size_t descriptor_count() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
  }

  static std::size_t index_of(const asioq::asio_request& request) noexcept {
    return static_cast<std::size_t>(static_cast<const step*>(request.user_data()) - program.data());
  }

  /// Whether a sync of this file has failed with the error, and may have lost data.
  bool has_lost(std::size_t file, int error, std::span<const made_failure> made) const {
    constexpr std::array lossless{0, EAGAIN, EBADF, ECANCELED, EINTR, EINVAL, ENOMEM, ENOSYS, EOPNOTSUPP};
    if (std::ranges::find(lossless, error) != lossless.end()) return false;
    return std::ranges::any_of(made, [&](const made_failure& one) {
      const bool is_of_file = one.op == op::free || one.fd == files_[file].get() ||
                              (file == step::data && one.fd == files_[step::again].get());
      return one.error == error && is_of_file;
    });
  }

  void note(int error) noexcept {
    if (thrown_.size() < thrown_.capacity()) thrown_.push_back(error);
  }

  void wrong(const std::string& what) {
    if (complaint_.empty()) complaint_ = what;
  }
  void wrong(const std::string& what, std::size_t index) {
    wrong(what + " (step " + std::to_string(index) + ": " + asioq::traits_of(program[index].op).name + ")");
  }

  /// Every accepted request ends exactly once.
  void check_books() {
    for (std::size_t i = 0; i < program.size(); ++i) {
      if (skips(program[i])) continue;
      const result& its = results_[i];
      if (!its.is_accepted) wrong("a request was never accepted", i);
      if (its.returns > 1) wrong("a request came back twice", i);
      const bool may_stay = manner_.way == collecting::at_destruction ||
                            (program[i].op == op::write_back && !has_receivers());  // if it succeeds
      if (its.returns == 0 && !may_stay) wrong("a request did not come back", i);
      if (its.returns == 1 && its.error == 0 && may_stay && manner_.way != collecting::at_destruction)
        wrong("a write-back came back without an error", i);
    }
  }

  /// Each failure that was made has reached the caller, and each error has a cause.
  void check_causes(std::span<const made_failure> made) {
    const auto came_back = [&](const made_failure& one) {
      for (std::size_t i = 0; i < program.size(); ++i) {
        if (skips(program[i]) || results_[i].error != one.error) continue;
        if (program[i].op == one.op || (one.op == op::write && program[i].op == op::write_back)) return true;
      }
      return false;
    };
    for (const made_failure& one : made) {
      // At its destruction a queue says nothing of reads.
      if (one.op == op::free || one.is_short_read || (one.op == op::read && manner_.way == collecting::at_destruction))
        continue;
      if (!came_back(one))
        wrong("nobody was told that a " + std::string(asioq::traits_of(one.op).name) + " had failed with " +
              std::strerror(one.error));
    }
    // A read that fails holds what follows, but at its destruction a queue does not say so.
    bool holds = manner_.way == collecting::at_destruction && std::ranges::any_of(made, [](const made_failure& one) {
                   return one.op == op::read || (one.op == op::free && !one.is_short_read);
                 });
    for (std::size_t i = 0; i < program.size(); ++i) {
      const int error = results_[i].error;
      const bool is_held = holds && manner_.policy == asioq::failure_policy::hold;
      if (is_held && manner_.order == asioq::execution_order::strict && !skips(program[i]) && error != ECANCELED &&
          manner_.way != collecting::at_destruction)
        wrong("a request has begun behind a failure", i);
      if (error == 0) continue;
      holds = true;
      const bool has_cause =
          (error == ECANCELED && is_held) || (error == ENOSPC && program[i].file == step::full) ||
          std::ranges::any_of(made, [&](const made_failure& one) { return error == one.error && !one.is_short_read; });
      if (!has_cause) wrong("an error without a cause: " + std::string(std::strerror(error)), i);
    }
  }

  /// What is in the files, and what reads returned, is what a serial run makes that has the same errors.
  void check_effects(std::span<const made_failure> made) {
    const bool may_be_short = std::ranges::any_of(made, &made_failure::is_short_read);
    std::array<std::string, 3> text{"", "", pattern(400, 99)};
    std::array<std::size_t, 3> position{};
    std::array<bool, 3> lost{};
    for (std::size_t i = 0; i < program.size(); ++i) {
      const step& its = program[i];
      const result& what = results_[i];
      const auto file = its.file == step::again ? step::data : its.file;
      if (file >= step::full) continue;
      std::string& now = text[file];
      const bool is_silent = what.returns == 0;  // it has succeeded, or it was a read of a queue that was abandoned
      const std::size_t place = at_position(its) ? position[file] : static_cast<std::size_t>(its.offset);
      const std::size_t bytes = is_silent ? its.length : what.bytes;
      switch (its.op) {
        case op::read: {
          if (is_silent) break;
          const std::string expected = place < now.size() ? now.substr(place, its.length) : "";
          const bool is_short = at_position(its) && may_be_short && !what.data.empty();
          if (what.data != ((what.error != 0 || is_short) ? expected.substr(0, bytes) : expected))
            wrong("a read returned other data", i);
          if (at_position(its)) position[file] += what.data.size();
          break;
        }
        case op::write:
        case op::write_back:
          if (what.error == 0 && bytes != its.length) wrong("a write has succeeded, but not of all", i);
          if (bytes == 0) break;
          now.resize(std::max(now.size(), place + bytes));
          now.replace(place, bytes, texts_[i].substr(0, bytes));
          if (at_position(its)) position[file] += bytes;
          break;
        case op::truncate:
          if (what.error == 0) now.resize(its.offset);
          break;
        case op::allocate:
          if (what.error == 0) now.resize(std::max<std::size_t>(now.size(), its.offset + its.length));
          break;
        case op::fsync:
        case op::fdatasync:
          // If the file is not known now, it may be the error of another file.
          if (lost[file] && what.error == 0) wrong("a sync has forgotten that an earlier one failed", i);
          lost[file] = lost[file] || has_lost(file, what.error, made);
          break;
        case op::close:
        case op::free:
          break;
      }
    }
    for (const faulted_step::file_name file : {step::data, step::log, step::source})
      if (contents(files_[file]) != text[file]) wrong("file " + std::to_string(file) + " has other contents");
  }

  /// Descriptors and threads are as before.
  void check_what_is_left() {
    const auto closes = std::ranges::find(program, op::close, &step::op) - program.begin();
    const bool has_closed = results_[static_cast<std::size_t>(closes)].error != ECANCELED;
    if (is_open(closing_fd_) == has_closed) wrong("a close has not closed, or a cancelled one has");
    if (descriptor_count() + (has_closed ? 1 : 0) != descriptors_before_) wrong("descriptors were left");
    if (!threads_fall_to(threads_before_, program_thread_count)) wrong("threads were left");
  }

  std::array<descriptor, 5> files_;
  int closing_fd_ = -1;
  std::vector<std::string> texts_;  // what is in the buffer of each step
  std::vector<int> thrown_;
  std::size_t threads_before_ = 0;
  std::size_t descriptors_before_ = 0;
  std::size_t next_to_return_ = 0;
  const char* first_complaint_ = nullptr;
  std::size_t first_index_ = 0;
  std::string complaint_;
};

/// The run on a queue. `Host` has the executor and whatever this needs; it is made and destroyed with the run.
template <class Host>
class faulted_run : public faulted_run_base, private asioq::completion {
 public:
  using faulted_run_base::faulted_run_base;

  void run() {
    std::optional<Host> host;
    if (!persist([&] { host.emplace(); })) return end();
    {
      std::optional<queue_type> queue;
      if (persist([&] { queue.emplace(host->executor(), options()); })) carry_out(*queue);
    }
    host.reset();
    end();
  }

 private:
  using queue_type = asioq::basic_asio_queue<decltype(std::declval<Host&>().executor())>;

  void carry_out(queue_type& queue) {
    queue_ = &queue;
    if (manner_.way == collecting::in_event_loop && !persist([&] { handle_ = queue.native_handle(); })) return;
    for (std::size_t i = 0; i < program.size(); ++i) {
      if (skips(program[i])) continue;
      if (program[i].syncs_first && manner_.way != collecting::at_destruction) sync();
      if (!submit(i)) return;
    }
    if (manner_.way == collecting::at_destruction) return;
    sync();
    if (queue.running_requests() != 0) complain("sync() left something running", 0);
    if (queue.running_writebacks() != 0) complain("sync() left a write-back running", 0);
    if (queue.allocated_requests() != 0) complain("a buffer is out at the end", 0);
  }

  bool submit(std::size_t index) {
    asioq::asio_request request;
    const bool has_got = persist([&] {
      const std::size_t before = queue_->allocated_requests() + queue_->idle_requests();
      try {
        request = queue_->get();
      } catch (...) {
        if (queue_->allocated_requests() + queue_->idle_requests() != before) complain("get() kept a request", index);
        throw;
      }
    });
    if (!has_got) return false;
    prepare(request, index);
    const void* const buffer = request.buffer().data();
    while (request) {
      const bool is_finished = persist([&] {
        try {
          if (has_receivers())
            queue_->submit(std::move(request), *this);
          else
            queue_->submit(std::move(request));
        } catch (const asioq::write_back_error&) {
          collect_failed_write_back(index);
        } catch (...) {
          if (!request || request.op() != program[index].op || request.fd() != fd_of(program[index]) ||
              request.length() != program[index].length || request.buffer().data() != buffer || request.error())
            complain("a submit that throws has changed the request", index);
          throw;
        }
      });
      if (!is_finished) return false;
    }
    results_[index].is_accepted = true;
    return true;
  }

  /// A call has thrown a write_back_error, so one has to come back.
  void collect_failed_write_back(std::size_t index) {
    asioq::asio_request done = queue_->wait();
    while (done && done.op() != op::write_back) {
      take(done);
      done = queue_->wait();
    }
    if (!done || !done.error()) return complain("a write_back_error without a failed write-back", index);
    take(done);
  }

  /// Waits for all, and collects all.
  void sync() {
    const bool was_told = [&] {
      try {
        persist([&] { queue_->sync(); });
        return false;
      } catch (const asioq::write_back_error&) {
        return true;
      }
    }();
    collected_failed_write_backs_ = 0;
    collect_all();
    if (was_told != (collected_failed_write_backs_ > 0) && !has_receivers())
      complain("sync() does not say what write-backs say", 0);
  }

  void collect_all() {
    switch (manner_.way) {
      case collecting::by_wait:
      case collecting::at_destruction:
        while (take_if_any(queue_->wait())) {
        }
        break;
      case collecting::by_timed_wait:
        collect_until_empty([&] { return queue_->wait_for(std::chrono::milliseconds(1)); });
        break;
      case collecting::by_wait_with_token:
        collect_until_empty([&] { return queue_->wait(token_); });
        break;
      case collecting::by_receiver:
        while (queue_->run_one() != 0) {
        }
        break;
      case collecting::in_event_loop:
        while (queue_->allocated_requests() > 0) {
          ::pollfd entry{handle_, POLLIN, 0};
          if (::syscall(SYS_poll, &entry, 1, 20'000) != 1) return complain("the descriptor does not wake the loop", 0);
          if (!persist([&] { static_cast<void>(queue_->poll()); })) return;
        }
        break;
    }
  }

  template <class Wait>
  void collect_until_empty(Wait wait) {
    for (bool any = true; any || queue_->running_requests() > 0;) {
      if (!persist([&] { any = take_if_any(wait()); })) return;
    }
  }

  bool take_if_any(asioq::asio_request done) {
    if (!done) return false;
    if (done.op() == op::write_back && done.error()) ++collected_failed_write_backs_;
    take(done);
    return true;
  }

  void finished(asioq::asio_request request) noexcept override { take(request); }

  queue_type* queue_ = nullptr;
  int handle_ = -1;
  int collected_failed_write_backs_ = 0;
  std::stop_source never_;
  std::stop_token token_ = never_.get_token();
};

}  // namespace asioq_test
