// Random programs for a queue that runs them as if serial, and the check of what came of one: run again, strictly, it must
// come to the same. Without Catch2 and without the queue itself: see tests/mutations.
#pragma once

#include <asioq/error.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "any_queue.hpp"
#include "faults.hpp"
#include "files.hpp"
#include "io_engines.hpp"

namespace asioq_test {

/// The files and descriptors that all programs use. Files are in memory, and put back to how they were before each run.
class playground {
 public:
  /// `plain` and `direct` (O_DIRECT, aligned) are regular files, and so is `sealed`, which cannot grow (EPERM).
  enum file : std::size_t { plain, other, direct, sealed, regular_files, pipe = regular_files, full, null, none };

  struct target {
    const char* name;
    int fd;
    file where;
    bool appends;
  };

  static constexpr std::size_t sealed_size = 4096;  // a page: the kernel writes page by page or not at all
  static constexpr std::size_t sector = 512;

  playground() {
    for (std::size_t i = 0; i < regular_files; ++i)
      files_.emplace_back(::memfd_create("asioq-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (::ftruncate(files_[sealed].get(), sealed_size) != 0) throw_errno("ftruncate");
    if (::fcntl(files_[sealed].get(), F_ADD_SEALS, F_SEAL_GROW) != 0) throw_errno("F_ADD_SEALS");
    add("plain", plain, O_RDWR);
    add("plain, opened again", plain, O_RDWR);
    add("plain, same position", plain, same_position);
    add("plain, O_RDONLY", plain, O_RDONLY);
    add("plain, O_APPEND", plain, O_RDWR | O_APPEND);
    add("other", other, O_RDWR);
    add("other, same position", other, same_position);
    add("other, O_WRONLY", other, O_WRONLY);
    add("other, O_WRONLY | O_APPEND", other, O_WRONLY | O_APPEND);
    for (const char* name : {"direct", "direct, opened again"}) {
      try {
        add(name, direct, O_RDWR | O_DIRECT);
      } catch (const std::system_error&) {  // Linux before 6.6: not in memory
        add(name, direct, O_RDWR);
      }
    }
    add("sealed", sealed, O_RDWR);
    add("sealed, opened again", sealed, O_RDWR);
    for (const descriptor* end : {&pipe_.read_end, &pipe_.write_end}) {
      if (::fcntl(end->get(), F_SETFL, O_NONBLOCK) != 0) throw_errno("F_SETFL");
      targets_.push_back({end == &pipe_.read_end ? "read end" : "write end", end->get(), pipe, false});
    }
    // Never full, since what then becomes of a write depends on how those before were cut.
    if (::fcntl(pipe_.write_end.get(), F_SETPIPE_SZ, 1 << 20) < 0) throw_errno("F_SETPIPE_SZ");
    add_device("/dev/full", full);
    add_device("/dev/null", null);
    targets_.push_back({"never open", 1'000'000'000, none, false});
  }

  [[nodiscard]] const std::vector<target>& targets() const { return targets_; }
  [[nodiscard]] const target& target_of(int fd) const { return *std::ranges::find(targets_, fd, &target::fd); }

  void reset(const std::array<std::size_t, regular_files>& sizes) const {
    for (std::size_t i = 0; i < regular_files; ++i) {
      const std::string_view text = noise(i * 8000, sizes[i]);
      if (i != sealed && ::ftruncate(files_[i].get(), 0) != 0) throw_errno("ftruncate");
      if (::pwrite(files_[i].get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
        throw_errno("pwrite");
    }
    for (const target& one : targets_) ::lseek(one.fd, 0, SEEK_SET);
    static_cast<void>(rest_of_pipe());
  }

  /// All that is left when a run is over: what is in the files and the pipe, and the positions of the descriptors.
  [[nodiscard]] std::vector<std::string> remains() const {
    std::vector<std::string> all;
    for (const descriptor& one : files_) all.push_back(contents(one));
    all.push_back(rest_of_pipe());
    for (const target& one : targets_)
      if (one.where < regular_files) all.push_back(std::to_string(::lseek(one.fd, 0, SEEK_CUR)));
    return all;
  }

  [[nodiscard]] std::string content_of(file which) const { return contents(files_[which]); }

  /// `size` bytes that are others for another `salt`.
  static std::string_view noise(std::size_t salt, std::size_t size) {
    static const std::string all = [] {
      std::mt19937_64 random{1};
      std::string text(1 << 16, '\0');
      for (char& one : text) one = static_cast<char>(random());
      return text;
    }();
    return std::string_view(all).substr(salt % (all.size() / 2), size);
  }

 private:
  static constexpr int same_position = -1;  // dup(2) of the file's first descriptor

  void add(const char* name, file where, int flags) {
    const bool same = flags == same_position;
    const auto first = std::ranges::find(targets_, where, &target::where);
    others_.push_back(same ? descriptor{::fcntl(first->fd, F_DUPFD_CLOEXEC, 0)} : reopen(files_[where], flags));
    targets_.push_back({name, others_.back().get(), where, !same && (flags & O_APPEND) != 0});
  }

  void add_device(const char* path, file where) {
    targets_.push_back({path, others_.emplace_back(open_path(path, O_RDWR)).get(), where, false});
  }

  [[nodiscard]] std::string rest_of_pipe() const {
    std::string rest;
    std::array<char, 4096> some;
    for (ssize_t size = 0; (size = ::read(pipe_.read_end.get(), some.data(), some.size())) > 0;)
      rest.append(some.data(), static_cast<std::size_t>(size));
    return rest;
  }

  std::vector<descriptor> files_;
  std::vector<descriptor> others_;
  pipe_ends pipe_;
  std::vector<target> targets_;
};

/// A part of a regular file that cannot be read, or not be written.
struct bad_sector {
  playground::file file;
  bool for_writes;
  std::uint64_t begin;
  std::uint64_t end;
};

struct program {
  struct step {
    enum class pause { none, collect_one, collect_if_any, sync };

    pause before = pause::none;
    bool refused = false;  // the first time it is submitted, where the executor can
    asioq::asio_op op = asioq::asio_op::free;
    std::size_t target = 0;
    std::size_t length = 0;
    std::uint64_t offset = 0;
  };

  std::uint64_t seed = 0;  // of all that is decided while it runs
  std::size_t buffer_size = 1;
  std::size_t max_writebacks = 1;
  std::size_t max_in_flight = 1;
  asioq::failure_policy on_failure = asioq::failure_policy::proceed;
  std::array<std::size_t, playground::regular_files> sizes{};  // of the files at the beginning
  std::size_t size_limit = 0;                                  // RLIMIT_FSIZE; 0: none
  std::vector<bad_sector> bad_sectors;                         // of simulated disks
  bool syncs_fail = false;                                     // on simulated disks, now and then
  std::vector<step> steps;

  [[nodiscard]] asioq::queue_options options() const {
    return {.buffer_size = buffer_size,
            .max_writebacks = max_writebacks,
            .order = asioq::execution_order::as_if_serial,
            .max_in_flight = max_in_flight,
            .on_failure = on_failure,
            .on_lost_failure = [](asioq::asio_request&) {}};
  }

  /// Of the strict run.
  [[nodiscard]] asioq::queue_options strict_options() const {
    asioq::queue_options its = options();
    its.order = asioq::execution_order::strict;
    its.on_failure = asioq::failure_policy::proceed;
    return its;
  }
};

/// What the executors of a program can do.
struct abilities {
  bool size_limit = true;        // heeds RLIMIT_FSIZE
  bool pipes_by_offset = true;   // answers offsets on a pipe as pread(2) does
  bool simulated_faults = true;  // see faulty_disk
  bool empty_pipes = true;       // answers EAGAIN for an empty pipe with O_NONBLOCK, rather than wait
};

namespace programs {

inline std::size_t up_to(std::mt19937_64& random, std::size_t most) { return random() % (most + 1); }
inline bool one_in(std::mt19937_64& random, std::size_t count) { return random() % count == 0; }

inline program::step random_step(std::mt19937_64& random, const program& its, const playground& files,
                                 std::span<const std::size_t> targets, const abilities& can, std::size_t span,
                                 std::size_t drift, std::size_t most, std::size_t whole_file_every) {
  using asioq::asio_op;
  program::step made;
  switch (up_to(random, 20)) {
    case 0:
    case 1:
    case 2:
      made.before = program::step::pause::collect_one;
      break;
    case 3:
    case 4:
      made.before = program::step::pause::collect_if_any;
      break;
    case 5:
      if (one_in(random, 4)) made.before = program::step::pause::sync;
      break;
    default:
      break;
  }
  made.target =
      one_in(random, 20) ? up_to(random, files.targets().size() - 1) : targets[up_to(random, targets.size() - 1)];
  if (files.targets()[made.target].where == playground::pipe && !can.empty_pipes) made.target = 0;
  const playground::target& target = files.targets()[made.target];
  constexpr std::array transfers{asio_op::read, asio_op::read, asio_op::write, asio_op::write_back};
  made.op = transfers[up_to(random, transfers.size() - 1)];
  if (one_in(random, whole_file_every)) made.op = one_in(random, 2) ? asio_op::fsync : asio_op::fdatasync;
  made.length = up_to(random, most);
  if (target.where >= playground::regular_files) made.length = std::max<std::size_t>(made.length, 1);
  made.offset = drift * its.steps.size() + up_to(random, span);
  if (one_in(random, whole_file_every)) made.offset = asioq::current_position;
  if (target.where == playground::pipe && !can.pipes_by_offset) made.offset = asioq::current_position;
  if (made.op == asio_op::read && made.offset != asioq::current_position && one_in(random, 32)) made.offset <<= 40U;
  if (target.where == playground::direct) {
    made.length = std::min(its.buffer_size, made.length * 4) / playground::sector * playground::sector;
    if (made.offset != asioq::current_position) made.offset = made.offset / playground::sector * playground::sector;
  }
  // To submit a write-back may take waiting, and what goes on meanwhile must not be refused: it would fail.
  made.refused = made.op != asio_op::write_back && one_in(random, 16);
  if (made.op == asio_op::fsync || made.op == asio_op::fdatasync) {
    made.length = 0;
    made.offset = asioq::current_position;
  }
  return made;
}

/// The same for the same seed and abilities.
inline program random_program(std::uint64_t seed, const playground& files, const abilities& can) {
  std::mt19937_64 random{seed};
  program made;
  made.seed = random();
  made.buffer_size = 64 + up_to(random, 2000);
  made.max_writebacks = 1 + up_to(random, 20);
  constexpr std::array<std::size_t, 6> depths{1, 2, 3, 8, 32, 100};
  made.max_in_flight = depths[up_to(random, depths.size() - 1)];
  if (one_in(random, 3)) made.on_failure = asioq::failure_policy::hold;
  for (const std::size_t file : {playground::plain, playground::other})
    made.sizes[file] = one_in(random, 2) ? up_to(random, 2000) : 0;
  made.sizes[playground::direct] = up_to(random, 6) * playground::sector;
  made.sizes[playground::sealed] = playground::sealed_size;
  // With a drift the end of the files is never far away.
  const std::size_t span = 100U << up_to(random, 5);
  const std::size_t drift = one_in(random, 2) ? 1 + up_to(random, 60) : 0;
  if (can.size_limit && one_in(random, 6)) made.size_limit = 2000 + up_to(random, 2000);
  if (can.simulated_faults && one_in(random, 2)) {
    for (std::size_t left = up_to(random, 3); left > 0; --left) {
      const auto file = static_cast<playground::file>(up_to(random, playground::regular_files - 1));
      const std::size_t grain = file == playground::direct ? playground::sector : 1;
      const std::uint64_t begin = up_to(random, span + drift * 40) / grain * grain;
      made.bad_sectors.push_back({file, one_in(random, 2), begin, begin + (1 + up_to(random, 100)) * grain});
    }
    made.syncs_fail = one_in(random, 2);
  }

  // Few descriptors and short ranges, so that requests meet; not too many that meet all others, so that many are in flight.
  std::vector<std::size_t> targets;
  for (std::size_t left = 1 + up_to(random, 5); left > 0; --left)
    targets.push_back(up_to(random, (one_in(random, 2) ? 9 : files.targets().size()) - 1));
  const std::size_t most = std::min(made.buffer_size, std::size_t{16} << up_to(random, 6));
  constexpr std::array<std::size_t, 4> shares{1000, 24, 8, 3};
  const std::size_t whole_file_every = shares[up_to(random, shares.size() - 1)];
  for (std::size_t left = 30 + up_to(random, 30); left > 0; --left)
    made.steps.push_back(random_step(random, made, files, targets, can, span, drift, most, whole_file_every));
  return made;
}

inline std::string name_of(const program::step& step, const playground& files) {
  constexpr std::array names{"free", "read", "write", "write_back", "fsync", "fdatasync"};
  constexpr std::array pauses{"", "collect one; ", "collect if any; ", "sync; "};
  std::ostringstream text;
  text << pauses[static_cast<std::size_t>(step.before)] << (step.refused ? "refused; " : "")
       << names[static_cast<std::size_t>(step.op)] << ' ' << files.targets()[step.target].name;
  if (step.op == asioq::asio_op::fsync || step.op == asioq::asio_op::fdatasync) return text.str();
  text << ", " << step.length << " bytes at ";
  if (step.offset == asioq::current_position)
    text << "the position";
  else
    text << step.offset;
  return text.str();
}

}  // namespace programs

/// A disk with bad sectors. What it does depends on nothing but the operation and the file's state, and not on how a
/// transfer is cut: so it is the same in every run that is as if serial.
class faulty_disk : public simulated_disk {
 public:
  faulty_disk(std::uint64_t seed, const program& its, const playground& files)
      : simulated_disk(seed), program_(its), files_(files) {}

  void start(asioq::io_operation& operation) override {
    if (std::exchange(refuses, false)) throw std::system_error(EAGAIN, std::system_category());
    simulated_disk::start(operation);
  }

  bool refuses = false;  // the next operation

  /// How many syncs have failed because the disk says so.
  [[nodiscard]] std::size_t failed_syncs() const { return failed_syncs_; }

  /// What each successful sync has found in its file: what a power cut would have left. One file after another.
  [[nodiscard]] std::vector<std::string> synced() const {
    std::vector<std::string> all;
    for (const std::vector<std::string>& its : synced_) all.insert(all.end(), its.begin(), its.end());
    return all;
  }

 protected:
  std::int64_t transfer(const asioq::io_operation& operation, std::size_t length) override {
    using asioq::asio_op;
    const playground::target& target = files_.target_of(operation.fd());
    const bool is_sync = operation.op() == asio_op::fsync || operation.op() == asio_op::fdatasync;
    if (target.where < playground::regular_files) {
      if (is_sync) {
        const std::string content = files_.content_of(target.where);
        if (program_.syncs_fail && std::hash<std::string>{}(content) % 4 == 0 && lost_[target.where] != content) {
          lost_[target.where] = content;  // the next time it is a success, as the kernel has it
          ++failed_syncs_;
          return target.where % 2 == 0 ? -EIO : -EDQUOT;
        }
        synced_[target.where].push_back(content);
      } else if (const int error = meet_bad_sector(operation, target, length)) {
        return -error;
      }
    }
    const std::int64_t result = simulated_disk::transfer(operation, length);
    if (result != -ESPIPE) return result;
    // As io_uring has it: a pipe's offset does not matter.
    return length_or_errno(operation.op() == asio_op::read
                               ? ::read(operation.fd(), operation.buffer().data(), length)
                               : ::write(operation.fd(), operation.buffer().data(), length));
  }

 private:
  static std::int64_t length_or_errno(ssize_t result) { return result < 0 ? -errno : result; }

  int meet_bad_sector(const asioq::io_operation& operation, const playground::target& target, std::size_t& length) {
    const bool is_write = operation.op() != asioq::asio_op::read;
    std::uint64_t place = operation.offset();
    if (is_write && target.appends)
      place = files_.content_of(target.where).size();
    else if (place == asioq::current_position)
      place = static_cast<std::uint64_t>(::lseek(operation.fd(), 0, SEEK_CUR));
    for (const bad_sector& bad : program_.bad_sectors) {
      if (bad.file != target.where || bad.for_writes != is_write || length == 0 || place >= bad.end) continue;
      if (place >= bad.begin) return EIO;
      length = static_cast<std::size_t>(std::min<std::uint64_t>(length, bad.begin - place));
    }
    return 0;
  }

  const program& program_;
  const playground& files_;
  std::array<std::vector<std::string>, playground::regular_files> synced_;
  std::array<std::optional<std::string>, playground::regular_files> lost_;  // what a sync has failed with
  std::size_t failed_syncs_ = 0;
};

/// How a request came back.
struct returned {
  std::size_t index;  // in the program's steps
  asioq::asio_op op;
  int error;  // an errno value
  std::size_t bytes;
  std::size_t hash;  // of the bytes

  bool operator==(const returned&) const = default;
};

/// What came of a program.
struct history {
  std::vector<returned> returns;
  std::vector<std::string> remains;
  std::optional<std::vector<std::string>> synced;  // on a simulated disk: what the syncs have found
  std::vector<bool> resumed;                       // for each step: whether resume() was called before
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
        while (collect(queue_.wait())) {
        }
        queue_.resume();
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
    if (disk_ != nullptr) made_.synced = disk_->synced();
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

  void submit(std::size_t index) {
    const program::step& step = program_.steps[index];
    asioq::asio_request request = queue_.get();
    const int fd = files_.targets()[step.target].fd;
    const std::string_view text = text_for(index);
    std::ranges::copy(std::as_bytes(std::span(text)), request.buffer().begin());
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
      case asioq::asio_op::fsync:
        request.prepare_fsync(fd);
        break;
      default:
        request.prepare_fdatasync(fd);
        break;
    }
    request.set_user_data(const_cast<program::step*>(&step));
    if (disk_ != nullptr) disk_->refuses = step.refused && !replays_;
    while (request) {
      made_.late[index] = held_;
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
    const std::span<const std::byte> whole = done.buffer().first(step->length);
    if (step->op != asioq::asio_op::read && view_of(whole) != text_for(index))
      complain("a request came back with other data");
    made_.returns.push_back({index, done.op(), done.error().value(), done.bytes_transferred(),
                             std::hash<std::string_view>{}(view_of(done.data()))});
    // Whether a failure from before the last resume() counts as seen by it depends on when it came.
    if (!replays_ && done.error() && index >= resumed_at_) {
      held_ = true;
      if (next_ < program_.steps.size() && random_() % 2 == 0) {
        queue_.resume();
        held_ = false;
        resumed_at_ = next_;
        made_.resumed[next_] = true;
      }
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
  std::size_t next_ = 0;        // step to be submitted
  std::size_t resumed_at_ = 0;  // next_ of the last resume()
  bool held_ = false;           // something from since then has come back with a failure
};

namespace programs {

/// Whether the requests of one file must not run at the same time, to say the least.
inline bool conflict(const program::step& first, const program::step& second, const playground& files) {
  using asioq::asio_op;
  const playground::target& its = files.targets()[first.target];
  const playground::target& others = files.targets()[second.target];
  if (its.where != others.where || its.where == playground::none) return false;
  const auto writes = [](const program::step& step) {
    return step.op == asio_op::write || step.op == asio_op::write_back;
  };
  const auto whole = [&](const program::step& step, const playground::target& target) {
    return step.offset == asioq::current_position || (writes(step) && target.appends) ||
           target.where >= playground::regular_files;
  };
  if (whole(first, its) || whole(second, others)) return first.length != 0 && second.length != 0;
  return (writes(first) || writes(second)) && first.offset < second.offset + second.length &&
         second.offset < first.offset + first.length;
}

/// Whether the syncs failed that had to, after each failure all of the same file with the same error until a resume(); for
/// no other reason but that the disk said so.
inline std::string check_syncs(const program& its, const history& tested, const playground& files,
                               std::size_t failures) {
  std::array<int, playground::regular_files> errors{};
  std::size_t epoch = 0;
  for (const returned& one : tested.returns) {
    for (; epoch <= one.index; ++epoch)
      if (tested.resumed[epoch]) errors = {};
    const playground::file file = files.targets()[its.steps[one.index].target].where;
    const bool is_sync = one.op == asioq::asio_op::fsync || one.op == asioq::asio_op::fdatasync;
    if (!is_sync || file >= playground::regular_files || one.error == ECANCELED) continue;
    if (errors[file] != 0 && one.error != errors[file])
      return "a failed sync is forgotten (step " + std::to_string(one.index) + ")";
    if (errors[file] == 0 && one.error != 0 && failures-- == 0)
      return "a sync fails without a reason (step " + std::to_string(one.index) + ")";
    errors[file] = one.error;
  }
  return failures == 0 ? "" : "a failed sync was not reported";
}

/// Whether those requests were cancelled that had to be, and no others that must not.
inline std::string check_hold(const program& its, const history& tested, const playground& files) {
  const std::vector<bool> failed = tested.with_error(0);
  const std::vector<bool> cancelled = tested.with_error(ECANCELED);
  std::size_t epoch = 0;  // since the last resume()
  bool any = false;       // has failed since
  for (std::size_t i = 0; i < its.steps.size(); ++i) {
    if (tested.resumed[i]) {
      epoch = i;
      any = false;
    }
    const std::string which = " (step " + std::to_string(i) + ")";
    if (cancelled[i] && (!any || its.on_failure == asioq::failure_policy::proceed))
      return "cancelled without a failure before it" + which;
    const bool any_before = std::exchange(any, any || failed[i]);
    if (its.on_failure == asioq::failure_policy::proceed || cancelled[i]) continue;
    if (tested.late[i]) return "ran though a failure had come back" + which;
    if (its.max_in_flight == 1 && any_before) return "ran after a failure" + which;
    for (std::size_t k = epoch; k < i; ++k)
      if (failed[k] && conflict(its.steps[k], its.steps[i], files))
        return "ran though it had to wait for a failed one, " + std::to_string(k) + which;
  }
  return {};
}

inline std::string describe(const returned& one) {
  std::ostringstream text;
  text << "step " << one.index << " with error " << one.error << " and " << one.bytes << " bytes, hash " << std::hex
       << one.hash;
  return text.str();
}

inline std::string difference(const history& tested, const history& strict, const std::vector<bool>& cancelled) {
  if (!strict.complaint.empty()) return "in the strict run: " + strict.complaint;
  std::vector<returned> left = tested.returns;
  std::erase_if(left, [&](const returned& one) { return cancelled[one.index]; });
  const std::vector<returned>& expected = strict.returns;
  // The strict run collects elsewhere, but in order too.
  for (std::size_t i = 0; i < std::max(left.size(), expected.size()); ++i) {
    if (i < left.size() && i < expected.size() && left[i] == expected[i]) continue;
    return (i < left.size() ? describe(left[i]) : "nothing more") + " instead of " +
           (i < expected.size() ? describe(expected[i]) : "nothing more");
  }
  for (std::size_t i = 0; i < tested.remains.size(); ++i)
    if (tested.remains[i] != strict.remains[i]) return "something else remains at place " + std::to_string(i);
  if (tested.synced && strict.synced && *tested.synced != *strict.synced) return "a sync has found something else";
  return {};
}

/// A queue for a program, and what it is on if that is a simulated disk.
struct queue_for_program {
  std::unique_ptr<faulty_disk> disk;
  std::unique_ptr<any_queue> queue;
};

/// Runs a program as if serial on the queue that `make_tested()` makes, and then, as it went there, strictly on that of
/// `make_strict()`. Returns the first difference.
template <class MakeTested, class MakeStrict>
std::string compare(const program& its, const playground& files, MakeTested make_tested, MakeStrict make_strict) {
  const auto run = [&](queue_for_program on, const history* pattern) {
    files.reset(its.sizes);
    std::optional<file_size_limit> limit;
    if (its.size_limit != 0) limit.emplace(its.size_limit);
    program_run once(*on.queue, its, files, on.disk.get());
    history made = pattern == nullptr ? once.run() : once.run_like(*pattern);
    if (on.disk && pattern == nullptr && on.disk->most() > its.max_in_flight)
      made.complaint = "more were in flight than allowed";
    if (on.disk && made.complaint.empty()) made.complaint = check_syncs(its, made, files, on.disk->failed_syncs());
    return made;
  };
  const history tested = run(make_tested(), nullptr);
  if (!tested.complaint.empty()) return tested.complaint;
  const std::string wrong = check_hold(its, tested, files);
  return wrong.empty() ? difference(tested, run(make_strict(), &tested), tested.with_error(ECANCELED)) : wrong;
}

/// Both on simulated disks; `make(executor, options)` makes the queues.
template <class Make>
std::string compare_on_simulated_disks(const program& its, const playground& files, Make make) {
  const auto on_disk = [&](std::uint64_t seed, const asioq::queue_options& options) {
    auto disk = std::make_unique<faulty_disk>(seed, its, files);
    auto queue = make(any_io_executor(*disk), options);
    return queue_for_program{std::move(disk), std::move(queue)};
  };
  return compare(
      its, files, [&] { return on_disk(its.seed, its.options()); },
      [&] { return on_disk(its.seed + 1, its.strict_options()); });
}

/// Leaves out steps as long as what is left still goes wrong; returns that as text. `wrong(program)` is empty if not.
template <class Wrong>
std::string smallest(program its, const playground& files, Wrong wrong) {
  for (std::size_t size = its.steps.size() / 2; size > 0; size /= 2) {
    for (std::size_t at = 0; at + size <= its.steps.size();) {
      program less = its;
      const auto from = less.steps.begin() + static_cast<std::ptrdiff_t>(at);
      less.steps.erase(from, from + static_cast<std::ptrdiff_t>(size));
      if (wrong(less).empty())
        at += size;
      else
        its = std::move(less);
    }
  }
  std::ostringstream text;
  text << "max_in_flight " << its.max_in_flight << ", max_writebacks " << its.max_writebacks << ", buffer_size "
       << its.buffer_size << (its.on_failure == asioq::failure_policy::hold ? ", hold" : ", proceed");
  if (its.size_limit != 0) text << ", files limited to " << its.size_limit;
  if (its.syncs_fail) text << ", syncs fail";
  for (const bad_sector& bad : its.bad_sectors)
    text << "\n  cannot " << (bad.for_writes ? "write" : "read") << " file " << bad.file << " from " << bad.begin
         << " to " << bad.end;
  for (std::size_t i = 0; i < its.steps.size(); ++i) text << "\n  " << i << ": " << name_of(its.steps[i], files);
  return text.str() + "\nwhere it goes wrong so: " + wrong(its);
}

}  // namespace programs

}  // namespace asioq_test
