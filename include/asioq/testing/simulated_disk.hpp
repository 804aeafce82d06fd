#pragma once

/// @file
/// A disk in memory, with faults, power cuts and a time of its own: the same run again from a seed.

#include <asioq/asio_op.hpp>
#include <asioq/detail/support/event.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/detail/support/single_user.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/io_operation.hpp>
#include <asioq/operation.hpp>
#include <asioq/testing/detail/disk_files.hpp>
#include <asioq/testing/detail/disk_log.hpp>
#include <asioq/testing/detail/fault_plan.hpp>
#include <asioq/testing/detail/file_image.hpp>
#include <asioq/testing/detail/generator.hpp>
#include <asioq/testing/disk_options.hpp>
#include <asioq/testing/latency_model.hpp>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace asioq::testing {

/// A disk in memory for the tests of programs, with named files, faults, and power cuts.
///
/// **The same run again.** The same options and the same calls, those of its queues among them, give the same run on
/// every machine. Virtual time goes on inside the calls of the executor alone. A call that waits goes on to the next
/// completion, and never sleeps. It ignores its deadline, since a deadline of the steady clock, taken as virtual time,
/// would depend on how fast the machine is. So a timed wait of a queue comes back with its result, however late in
/// virtual time that is.
///
/// **Durability.** A sync covers what was completed before it was started. At a `crash()` each sector that no
/// successful sync covers keeps its old or its new content, and each file its old or its new size. A file that has
/// never been synced may be gone. What the old size cuts off is gone, and what an old, larger size brings back has its
/// old content. Data that a failed sync has dropped are gone. There is never garbage.
///
/// **Operations** behave as on a local file. A descriptor that is not open gives -EBADF, an offset or a size above
/// 2^63 - 1 gives -EINVAL. As io_uring does, the disk looks a descriptor up when the operation is started. An operation
/// takes effect when it is completed, so the order of those in flight is its queue's to keep.
///
/// **Threads.** A disk, its queues and its descriptors are for one thread at a time (asserted where assertions are on).
///
/// **Lifetime.** A disk must outlive its queues. It keeps what is in its files, and the log.
class simulated_disk {
 public:
  /// The handle that a queue takes: a pointer to the disk. See `io_executor` for its functions.
  class executor_type {
   public:
    /// Throws `std::bad_alloc`.
    void start(io_operation& operation) const { disk_->start(operation); }
    /// Lets `latency_model::poll` pass, and completes what has ended by then.
    void poll() const { disk_->poll(); }
    /// Goes on to the next completion, if anything is in flight. Never sleeps.
    void wait_until(std::chrono::steady_clock::time_point /*deadline*/) const { disk_->complete_next(); }
    /// The facts of a descriptor of this disk's.
    [[nodiscard]] file_facts describe(int fd) const noexcept { return disk_->files_.describe(fd); }
    /// Ends an operation that the device has not begun.
    void cancel(io_operation& operation) const noexcept { disk_->cancel(operation); }
    /// A descriptor that is readable while anything is in flight, so that an event loop lets time pass.
    [[nodiscard]] int native_handle() const { return disk_->native_handle(); }
    /// See `io_executor`.
    void keep_readable(bool on) const noexcept { disk_->keep_readable(on); }

    bool operator==(const executor_type&) const = default;

   private:
    friend class simulated_disk;
    explicit executor_type(simulated_disk& disk) noexcept : disk_(&disk) {}
    simulated_disk* disk_;
  };

  /// An empty disk. Throws `std::invalid_argument` if `sector_size` or `direct_alignment` is 0.
  explicit simulated_disk(disk_options options = {})
      : options_(options),
        files_(options_.sector_size, options_.capacity, options_.direct_alignment),
        random_(options_.seed),
        log_(options_.keeps_log) {
    if (options_.sector_size == 0) asioq::detail::refuse("asioq: a sector of 0 bytes");
    if (options_.direct_alignment == 0) asioq::detail::refuse("asioq: an alignment of 0 bytes");
  }

  simulated_disk(const simulated_disk&) = delete;
  simulated_disk& operator=(const simulated_disk&) = delete;

  /// All its queues must be gone.
  ~simulated_disk() { assert(jobs_.empty()); }

  /// An executor that gives its operations to this disk.
  [[nodiscard]] executor_type executor() noexcept { return executor_type{*this}; }

  /// A new descriptor of the file with this name, at its beginning. Such numbers are far above the system's, so that a
  /// system call that gets one by mistake fails. Throws `std::system_error` (`no_such_file_or_directory`) if there is
  /// no such file and `mode` does not create it.
  int open(std::string_view name, open_mode mode = {}) {
    const int fd = files_.open(name, mode.appends, mode.creates);
    if (fd < 0)
      asioq::detail::refuse(std::errc::no_such_file_or_directory, "asioq: the simulated disk has no such file");
    log_.note(now_, "open ", name, " as ", fd);
    return fd;
  }

  /// Closes a descriptor at once. What is in flight goes on. Throws `std::system_error` (`bad_file_descriptor`).
  void close(int fd) {
    if (!files_.close(fd)) asioq::detail::refuse(std::errc::bad_file_descriptor, "asioq: not a descriptor of the disk");
    log_.note(now_, "close ", fd);
  }

  /// Whether there is a file with this name.
  [[nodiscard]] bool exists(std::string_view name) const noexcept { return files_.named(name) != nullptr; }

  /// What a program would read; empty if there is no such file.
  [[nodiscard]] std::vector<std::byte> contents(std::string_view name) const {
    const detail::disk_file* const file = files_.named(name);
    return file == nullptr ? std::vector<std::byte>{} : file->image.contents();
  }

  /// What would be there if a power cut now kept the old state of everything; empty if there is no such file.
  [[nodiscard]] std::vector<std::byte> synced_contents(std::string_view name) const {
    const detail::disk_file* const file = files_.named(name);
    return file == nullptr ? std::vector<std::byte>{} : file->image.durable();
  }

  /// Has an operation of this kind fail when it is started, as `disk_options::errors` would: the next one, or the one
  /// after so many `others`. A write-back is a write. Several calls for one kind count one after the other. Throws
  /// `std::invalid_argument` for `asio_op::free`.
  void fail_next(asio_op op, std::errc error, std::size_t others = 0) {
    if (op == asio_op::free) asioq::detail::refuse("asioq: fail_next: no operation");
    planned_.fail_next(op, static_cast<int>(error), others);
  }

  /// Has transfers of a place fail from here on.
  void add(bad_sector bad) { files_.add(std::move(bad)); }
  /// Makes all bad sectors good.
  void heal() noexcept { files_.heal(); }

  /// A power cut. What that leaves is described above; `contents()` has it at once.
  ///
  /// Everything in flight ends with EIO, in the next calls of its queue. Of a write that the device had begun, each
  /// sector may have been written. All descriptors are closed, and their numbers do not come again. So a queue from
  /// before changes nothing afterwards: what it starts then fails with EBADF. The program that starts again after the
  /// power cut opens its files anew.
  void crash() {
    const asioq::detail::single_user guard(in_use_);
    cut_power();
  }

  /// Has the power fail when so many further operations have ended, before the next one does: a power cut in the middle
  /// of a program's call. The program gets its errors at once.
  void crash_after(std::size_t operations) noexcept { left_ = operations; }

  /// How often the power has failed.
  [[nodiscard]] std::size_t power_cuts() const noexcept { return power_cuts_; }

  /// The disk's own time, from 0 on.
  [[nodiscard]] std::chrono::nanoseconds now() const noexcept { return now_; }

  /// Operations that have been started and not completed.
  [[nodiscard]] std::size_t in_flight() const noexcept { return jobs_.size(); }

  /// What it has done, one line for each operation and power cut, with the time in microseconds.
  [[nodiscard]] const std::vector<std::string>& log() const noexcept { return log_.lines(); }

  /// The options it was made with.
  [[nodiscard]] const disk_options& options() const noexcept { return options_; }

 private:
  /// An operation in flight.
  struct job {
    enum progress { waits, served, over };

    io_operation* operation;
    std::shared_ptr<detail::description> file;             // null if the number means nothing
    std::optional<detail::file_image::dirty_state> dirty;  // of a sync
    detail::fate fate;
    std::chrono::nanoseconds ready{};  // unless it waits
    progress state = waits;

    void end(std::chrono::nanoseconds now, std::int64_t outcome) noexcept {
      ready = now;
      fate.refusal = outcome;
      state = over;
    }
  };

  void start(io_operation& operation) {
    const asioq::detail::single_user guard(is_completing_ ? nested_ : in_use_);
    job its{.operation = &operation, .file = files_.find(operation.fd()), .dirty = {}, .fate = {}};
    if (its.file != nullptr && traits_of(operation.op()).is_sync) its.dirty = its.file->file->image.dirty();
    jobs_.push_back(std::move(its));
    job& started = jobs_.back();
    started.fate = detail::fault_plan::by_rate(operation, options_, random_);
    const std::int64_t planned = started.file == nullptr ? 0 : planned_.by_number(operation.op());
    if (planned != 0) started.fate.refusal = planned;
    update_event();
  }

  void poll() {
    const asioq::detail::single_user guard(in_use_);
    const std::chrono::nanoseconds end = now_ + std::max(options_.latency.poll, std::chrono::nanoseconds{1});
    while (complete_one(end)) {
    }
    now_ = end;
  }

  void complete_next() {
    const asioq::detail::single_user guard(in_use_);
    complete_one(std::chrono::nanoseconds::max());
  }

  /// Completes what ends next, unless that is after `limit`. Returns whether it did.
  bool complete_one(std::chrono::nanoseconds limit) {
    begin_jobs();
    auto next = jobs_.end();
    for (auto at = jobs_.begin(); at != jobs_.end(); ++at)
      if (at->state != job::waits && (next == jobs_.end() || at->ready < next->ready)) next = at;
    if (next == jobs_.end() || next->ready > limit) return false;
    now_ = std::max(now_, next->ready);
    if (left_ && (*left_)-- == 0) cut_power();  // then this one is over, too
    const std::int64_t outcome = carry_out(*next);
    log_.note_end(now_, next->file == nullptr ? "?" : std::string_view(next->file->file->name), *next->operation,
                  next->fate.length, outcome);
    io_operation& operation = *next->operation;
    jobs_.erase(next);
    update_event();
    is_completing_ = true;
    operation.complete(outcome);
    is_completing_ = false;
    return true;
  }

  /// Has the device begin as many of the operations that wait as it can serve.
  void begin_jobs() noexcept {
    const auto is_waiting = [](const job& its) { return its.state == job::waits; };
    auto waiting = static_cast<std::uint64_t>(std::ranges::count_if(jobs_, is_waiting));
    auto being_served = static_cast<std::uint64_t>(std::ranges::count(jobs_, job::served, &job::state));
    for (; waiting > 0 && being_served < std::max<std::size_t>(options_.latency.depth, 1); --waiting, ++being_served) {
      auto chosen = std::ranges::find_if(jobs_, is_waiting);
      for (std::uint64_t skipped = options_.reorders ? random_.below(waiting) : 0; skipped > 0; --skipped)
        chosen = std::find_if(std::next(chosen), jobs_.end(), is_waiting);
      begin(*chosen);
    }
  }

  void begin(job& its) noexcept {
    const operation_traits& traits = traits_of(its.operation->op());
    std::uint64_t bytes = traits.transfers ? its.fate.length : 0;
    std::uint64_t distance = 0;
    if (its.file != nullptr && traits.transfers) {
      const std::uint64_t place = detail::disk_files::place_of(*its.operation, *its.file);
      const std::uint64_t number = its.file->file->number;
      distance = number == head_file_ ? std::max(place, head_) - std::min(place, head_) : latency_model::elsewhere;
      head_file_ = number;
      head_ = place + bytes;
    }
    if (its.dirty) bytes = its.dirty->parts.size() * options_.sector_size;
    its.ready = now_ + options_.latency.time_for(bytes, distance, traits.is_sync, random_());
    // Without reordering it does not end before what was begun before it.
    if (!options_.reorders) its.ready = last_ready_ = std::max(its.ready, last_ready_);
    its.state = job::served;
  }

  void cut_power() {
    ++power_cuts_;
    left_.reset();
    log_.note(now_, "power cut");
    for (job& its : jobs_) {
      if (its.file != nullptr && its.state == job::served && its.fate.refusal == 0)
        files_.cut_off(*its.operation, *its.file, random_);
      its.end(now_, -EIO);
    }
    files_.crash(random_, [this](const std::string& name, const detail::file_image::damage* done,
                                 const detail::disk_file& file) {
      if (done == nullptr)
        log_.note(now_, "  ", name, " has vanished");
      else
        log_.note(now_, "  ", name, " has the new content of ", done->kept, " of ", done->open, " sectors, and ",
                  file.image.size(), " of ", done->size_before, " bytes");
    });
  }

  std::int64_t carry_out(job& its) {
    if (its.state == job::over) return its.fate.refusal;
    if (its.file == nullptr) return -EBADF;
    const int fd = its.operation->fd();
    if (its.operation->op() == asio_op::close) {
      if (files_.find(fd) != its.file) return -EBADF;
      files_.close(fd);
      return its.fate.refusal;
    }
    if (!its.dirty)
      return its.fate.refusal != 0 ? its.fate.refusal : files_.carry_out(*its.operation, *its.file, its.fate.length);
    if (its.fate.refusal == 0)
      its.file->file->image.commit(std::move(*its.dirty), [] { return true; });
    else if (its.fate.refusal != -EINTR && options_.on_failed_sync == failed_sync::drops_data)
      its.file->file->image.commit(std::move(*its.dirty), [this] { return random_.happens(0.5); });
    return its.fate.refusal;
  }

  void cancel(io_operation& operation) noexcept {
    const asioq::detail::single_user guard(in_use_);
    const auto its = std::ranges::find(jobs_, &operation, &job::operation);
    if (its != jobs_.end() && its->state == job::waits) its->end(now_, -ECANCELED);
  }

  int native_handle() {
    if (!event_) event_.emplace();
    update_event();
    return event_->descriptor();
  }

  void keep_readable(bool on) noexcept {
    on ? ++readers_ : --readers_;
    update_event();
  }

  void update_event() noexcept {
    const bool has_to_be = readers_ > 0 || !jobs_.empty();
    if (!event_ || is_readable_ == has_to_be) return;
    is_readable_ = has_to_be;
    if (has_to_be)
      event_->signal();
    else
      event_->drain();
  }

  disk_options options_;  // constant
  detail::disk_files files_;
  detail::generator random_;
  std::vector<job> jobs_;  // in the order of their start
  detail::fault_plan planned_;
  std::optional<std::size_t> left_;  // operations until the power fails
  std::size_t power_cuts_ = 0;
  detail::disk_log log_;
  std::chrono::nanoseconds now_{};
  std::chrono::nanoseconds last_ready_{};
  std::uint64_t head_file_ = 0;  // where the last transfer has ended
  std::uint64_t head_ = 0;
  std::optional<asioq::detail::event> event_;  // once a queue has asked for the descriptor
  std::size_t readers_ = 0;                    // see keep_readable()
  bool is_readable_ = false;
  bool is_completing_ = false;
  asioq::detail::single_user_flag in_use_ = false;
  asioq::detail::single_user_flag nested_ = false;  // for start() while is_completing_, when in_use_ is set
};

static_assert(io_executor<simulated_disk::executor_type>);

}  // namespace asioq::testing
