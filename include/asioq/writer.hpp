#pragma once

/// @file
/// A stream that writes a file.

#include <asioq/detail/stream/stream_file.hpp>
#include <asioq/detail/stream/waiting_calls.hpp>
#include <asioq/detail/stream/write_behind.hpp>
#include <asioq/detail/stream/write_calls.hpp>
#include <asioq/file.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace asioq {

/// How long a writer keeps what it has accepted.
enum class retention {
  /// Until the kernel has it. A failed sync may then lose what was written since the last successful one, since the
  /// kernel may have dropped it, and the writer no longer has it.
  until_written,
  /// Until a sync has made it durable. So `retry()` can write everything again even after a failed sync. The writer
  /// starts syncs by itself, before data that are not yet durable use up `max_behind`.
  until_durable
};

/// The options of a writer, in the order that designated initialisers need.
struct writer_options {
  /// Where to begin, in bytes from the start of the file; any number, whatever the file's alignment is.
  std::uint64_t offset = 0;
  /// Whether to begin at the current end of the file; `offset` is ignored then.
  bool append = false;
  /// How many bytes may be accepted but not yet written (or not yet durable, with `retention::until_durable`), besides
  /// the block that is being filled. > 0. Rounded down to whole blocks, but at least one. A partly filled block, such
  /// as one that a flush has ended early, counts in full.
  std::size_t max_behind = std::size_t{2} << 20U;
  /// See `retention`.
  retention keep = retention::until_written;
};

/// A part of what a writer has accepted and could not write: see `writer::rescue`.
struct rescued_part {
  std::uint64_t offset = 0;          ///< Where it belongs, in bytes from the start of the file.
  std::span<const std::byte> bytes;  ///< What belongs there, in the buffer of `request`.
  asio_request request;              ///< Keeps the bytes.
};

/// Writes a file sequentially, in the background, through a queue.
///
/// It takes requests of the queue for its blocks, fills their buffers, and submits them as writes with a receiver. A
/// block is as long as the queue's buffers, or as `max_behind` if that is less, rounded down to the file's alignment.
/// The writer works on every executor, and shares the queue with other streams and with the program's own requests. A
/// read that is submitted on the queue after a block sees the block, even if it has not been written yet.
/// `start_flush()` submits everything accepted so far at once, unless `max_behind` bytes are unwritten or a unit has to
/// be read first. A pipe, and all else that has no offsets, gets one block at a time. After `flush()`, all of it is
/// written.
///
/// **Requests.** The writer needs one of the queue's `max_requests`, and up to three if the file is direct. If none is
/// available, and no request of the writer is in flight that would come back, the call throws what the queue's `get()`
/// throws.
///
/// **Three positions**, in bytes from the start of the file: `position()` is never less than `written_through()`, and
/// that is never less than `durable_through()`. All bytes before `position()` were accepted. All before
/// `written_through()` are with the kernel, where every reader sees them. All before `durable_through()` were made
/// durable by a sync. The bytes before the offset at which the writer began count as durable.
///
/// **Direct files.** The program may write at any position, and any number of bytes. A flush that ends inside a unit of
/// the file's alignment writes the whole unit. After the accepted bytes, the unit holds zeros at the end of the file,
/// and elsewhere what the file has there. The writer reads that first, so the descriptor must be open for reading, too.
/// The writer continues in a copy of the unit, and writes the unit again later. Before each sync, and in `close()`, it
/// cuts the zeros off with a truncate, which has its place in the order of the queue. Until then the file may be too
/// long, by less than the alignment. While a writer is open, nothing else may write to the unit that contains its
/// position. The writer does not cut a file that something else has extended, or that a request still in the queue will
/// extend. No other queue or program may extend the file during the cut, which would remove what it adds. If the file
/// is `direct_io::preferred` and refuses a direct transfer, the writer continues through the page cache.
///
/// **Durable.** A sync is one fdatasync, submitted after everything that was accepted when the program asked for it. At
/// most one is in flight. All syncs that the program asks for meanwhile become one (group commit). That one begins when
/// the first has ended, and covers what has been submitted by then. In as-if-serial order the writer keeps writing
/// during a sync (`sync_barrier::none`). A sync covers a change of the file's size. It does not cover the name of a new
/// file, which needs an fsync of its directory. `close()` makes nothing durable, except with
/// `retention::until_durable`.
///
/// **Nothing accepted is lost.** When a request has failed, the writer submits nothing more and accepts nothing: its
/// calls throw `std::system_error`, and `error()` says why. The writer keeps everything that is not written (or not
/// durable, with `retention::until_durable`). Remove the cause, then call `retry()`, or take the data with `rescue()`.
/// Cancelled requests, by the queue's `cancel()` or by `failure_policy::hold`, count as failures.
///
/// **A failed sync** may have lost what was written since the last successful one, because the kernel may drop what it
/// could not write. With `retention::until_durable`, `retry()` writes all of that again. With
/// `retention::until_written` the writer can do so only if it happens to still have all of it. Otherwise `retry()` lets
/// the writer go on writing, but every later sync fails (`std::errc::io_error`), and `durable_through()` stays where it
/// is.
///
/// **Waiting.** A call that has to wait delivers, as `run_one()` does: it gives finished requests to all receivers of
/// the queue. So a receiver must not make such a call. If the call has to wait there, it throws what `run_one()`
/// throws. Each call that may wait has an awaitable twin, to be awaited at once: `co_await sink.async_write(bytes)`.
/// The coroutine resumes inside a call that delivers, inside a call of the writer that can wait, or inside `commit`. It
/// may destroy the writer then, unless it was resumed inside a blocking call of the same writer. Any number of
/// coroutines may use a writer, and await its calls at the same time. What one of them writes in one call stays
/// contiguous. A suspended coroutine may be destroyed; the writer then does not accept the bytes of its call.
///
/// **Lifetime.** The queue and the file must outlive the writer. The destructor writes what was accepted, as `close()`
/// does, and waits for it, even inside a delivery. If that fails, or if a failure has not been reported so far, the
/// destructor reports it as the queue's destructor does: it calls `queue_options::on_lost_failure` with each request
/// that was not written, or prints a message and calls `std::terminate()`. It only prints the message while an
/// exception that began after the writer was made is unwinding.
///
/// **Threads.** As the queue's: one owner.
///
/// **Allocations.** The constructor allocates. After that the queue allocates when the writer needs more requests than
/// the queue has made, and the list of blocks grows to its final length.
template <class Queue>
class writer {
  using core = detail::write_behind;

 public:
  /// Writes the file from `options.offset` on, or from its end. Throws `std::invalid_argument` if the file is closed,
  /// if the queue's `buffer_size` is less than the file's alignment, if `max_behind` is 0, or if the descriptor has
  /// O_APPEND; and `std::bad_alloc`. The constructor asks for the file's size, so first wait for any requests that
  /// would change it. The writer may switch the file to the page cache (see `file`).
  explicit writer(Queue& queue, const file& its, writer_options options = {})
      : writer(queue, detail::stream_file(queue, its), options) {}
  /// The same for a descriptor. If the descriptor has no offsets, such as a pipe, the writer writes at the descriptor's
  /// own position, one block at a time.
  explicit writer(Queue& queue, int fd, writer_options options = {})
      : writer(queue, detail::stream_file(queue, fd), options) {}
  /// The file has to outlive the writer.
  explicit writer(Queue& queue, file&& its, writer_options options = {}) = delete;

  writer(const writer&) = delete;
  writer& operator=(const writer&) = delete;

  /// See "Lifetime".
  ~writer() { core_->end(); }

  /// Accepts a copy of all the bytes, however many. Waits while `max_behind` bytes are unwritten. If it throws, it has
  /// accepted nothing: the position is where it was, and the contents of the file from there on are unspecified.
  void write(std::span<const std::byte> bytes) {
    if (!core_->write_at_once(bytes)) run<core::write_call>(bytes);
  }

  /// Returns room for `count` bytes at the position, to be filled and committed. It is valid until the next non-const
  /// call of the writer, or until a delivery lets a coroutine's call continue that accepts bytes. A flush or sync that
  /// is waiting at the time waits for the commit. When nothing else is left to wait for, a blocking one takes the room
  /// back, and an awaited one leaves it until the writer's next call. Throws `std::invalid_argument` if `count` exceeds
  /// a block.
  ///
  /// The room is in the buffer that will be written. If the current block has too little room, the writer begins
  /// another one. In a direct file, if the position is not a multiple of the alignment, the room may be in a separate
  /// buffer, from which `commit` copies.
  [[nodiscard]] std::span<std::byte> reserve(std::size_t count) { return run<core::reserve_call>(count); }
  /// Accepts the first `count` bytes of the reserved room. Does not wait. Throws `std::invalid_argument` if that is
  /// more than was reserved. If the writer has failed meanwhile, throws that failure. If it throws, it has accepted
  /// nothing.
  void commit(std::size_t count) {
    core_->commit(count);
    if (!core_->calls().empty()) core_->serve();
  }
  /// Accepts the `data()` of a request, such as a block from `reader::take()`, and takes the request. If it throws, the
  /// caller keeps the request. An empty handle has no data.
  ///
  /// The data are written from the buffer they are in, if the request is one of this queue's and the data are no longer
  /// than a block. In a direct file, the position and the place of the data in the buffer must also be multiples of the
  /// alignment. Otherwise the writer copies the data. It also copies a few bytes that fit into the current block.
  void put(asio_request&& block) { run<core::put_call>(block); }

  /// Starts to write everything accepted so far, as soon as `max_behind` leaves room for it. Does not wait.
  void start_flush() { core_->start_flush(); }
  /// Returns when everything accepted so far is with the kernel. In a direct file, the writer later writes the last
  /// unit again if it was not full; otherwise a flush costs nothing more.
  void flush() { run<core::flush_call>(); }
  /// Starts to make durable everything accepted so far. Does not wait. See "Durable".
  void start_sync() { core_->start_sync(); }
  /// Returns when everything accepted so far is durable, and the file has its true size.
  void sync() { run<core::sync_call>(); }
  /// Returns when everything accepted is written, all syncs that were asked for have ended, and the file has its true
  /// size. After that the writer accepts nothing, and holds no request of the queue. The descriptor stays open. If the
  /// call throws, the writer stays open and keeps what it has: call `retry()`, then `close()` again. Has no effect if
  /// the writer is closed.
  void close() { run<core::close_call>(); }

  /// Where the next byte goes.
  [[nodiscard]] std::uint64_t position() const noexcept { return core_->position(); }
  /// Everything accepted before this is with the kernel. It goes back if `retry()` has to write again after a failed
  /// sync.
  [[nodiscard]] std::uint64_t written_through() const noexcept { return core_->written_through(); }
  /// Everything accepted before this is durable.
  [[nodiscard]] std::uint64_t durable_through() const noexcept { return core_->durable_through(); }

  /// Why the writer accepts nothing; empty if it accepts. Calling this counts as a report of the failure.
  [[nodiscard]] std::error_code error() const noexcept { return core_->tell_error(); }
  /// Resubmits, in order, everything that is not written, and lets the writer accept again. After a failed sync that
  /// includes what is not durable, if the writer still has it. Has no effect if nothing has failed. Does not wait. If a
  /// request fails again, the next call throws, and `error()` says why.
  ///
  /// It calls the queue's `resume()`, which affects the whole queue: held requests of others run again, and a sync of
  /// this file asks the kernel again. So if several writers write one file through one queue, and a sync has failed,
  /// have each of them write again before any of them syncs.
  void retry() { core_->retry(); }

  /// Hands out everything that is not written (or not durable, with `retention::until_durable`), for another file, in
  /// order and without gaps. Waits until the queue has none of the writer's requests. Then the writer is closed, and
  /// neither cuts nor syncs its file. The file has everything before the first part, and may have some of the rest.
  /// With `retention::until_written`, what is before the first part may not be durable, and a failed sync may have lost
  /// it. Allocates the vector.
  [[nodiscard]] std::vector<rescued_part> rescue() { return run<rescue_call>(); }

  /// `co_await` does what `write` does. The bytes must stay valid until it has returned.
  [[nodiscard]] auto async_write(std::span<const std::byte> bytes) { return awaitable<core::write_call>(bytes); }
  /// `co_await` gives what `reserve` returns.
  [[nodiscard]] auto async_reserve(std::size_t count) { return awaitable<core::reserve_call>(count); }
  /// `co_await` does what `put` does. The handle must stay valid until it has returned.
  [[nodiscard]] auto async_put(asio_request&& block) { return awaitable<core::put_call>(block); }
  /// `co_await` does what `flush` does.
  [[nodiscard]] auto async_flush() { return awaitable<core::flush_call>(); }
  /// `co_await` does what `sync` does. Coroutines that await at the same time share a sync.
  [[nodiscard]] auto async_sync() { return awaitable<core::sync_call>(); }
  /// `co_await` does what `close` does.
  [[nodiscard]] auto async_close() { return awaitable<core::close_call>(); }
  /// `co_await` gives what `rescue` returns.
  [[nodiscard]] auto async_rescue() { return awaitable<rescue_call>(); }

 private:
  /// A call: see waiting_calls.hpp.
  class rescue_call {
   public:
    explicit rescue_call(core& its) noexcept : its_(its) {}
    [[nodiscard]] bool goes_on() const noexcept { return !its_.is_with_queue(); }
    void check_that_it_will() const noexcept {}
    /// It ends all calls that wait.
    void let_others_go_on() noexcept { its_.serve(); }
    [[nodiscard]] std::vector<rescued_part> result() {
      std::vector<rescued_part> parts;
      parts.reserve(its_.parts());
      its_.hand_out([&](std::uint64_t offset, std::span<const std::byte> bytes, asio_request&& request) {
        parts.push_back({offset, bytes, std::move(request)});
      });
      return parts;
    }

   private:
    core& its_;
  };

  /// The core, on a queue of this type.
  class core_on_queue final : public core {
   public:
    core_on_queue(Queue& queue, const detail::stream_file& its, const settings& how) : core(its, how), queue_(queue) {
      static_cast<void>(look_at_size());
    }

   private:
    asio_request try_get() override { return queue_.try_get(); }
    void submit(asio_request&& request) override { queue_.submit(std::move(request), *this); }
    bool deliver() override { return queue_.run_one() != 0; }
    void resume_queue() override { queue_.resume(); }
    void sync_queue() override { queue_.sync(); }
    [[nodiscard]] bool is_holding_queue() const noexcept override {
      return queue_.options().on_failure == failure_policy::hold;
    }
    [[nodiscard]] file_facts facts(int fd) const noexcept override { return detail::facts_ahead(queue_, fd); }
    bool report(asio_request& request) override {
      if (!queue_.options().on_lost_failure) return false;
      queue_.options().on_lost_failure(request);
      return true;
    }

    Queue& queue_;
  };

  writer(Queue& queue, const detail::stream_file& its, const writer_options& options)
      : queue_(&queue),
        core_(new core_on_queue(queue, its,
                                {.start = options.append ? its.end() : options.offset,
                                 .max_behind = options.max_behind,
                                 .keeps_until_durable = options.keep == retention::until_durable})) {}

  /// Lets the other waiting calls go on when this call ends, with or without an exception.
  struct turn_for_others {
    ~turn_for_others() {
      if (its != nullptr) its->serve();
    }
    core* its = nullptr;
  };

  /// The blocking form of a call.
  template <class Call, class... Arguments>
  decltype(auto) run(Arguments&&... arguments) {
    turn_for_others others{core_->calls().empty() ? nullptr : core_};  // goes after the call
    Call call(*core_, std::forward<Arguments>(arguments)...);
    if (!call.goes_on()) {
      others.its = core_;
      detail::wait_for(*queue_, call);
    }
    // They would take what was reserved.
    if constexpr (std::is_same_v<Call, core::reserve_call>) others.its = nullptr;
    return call.result();
  }

  template <class Call, class... Arguments>
  [[nodiscard]] auto awaitable(Arguments&&... arguments) {
    return detail::awaitable_call<Call>(core_->calls(), *core_, std::forward<Arguments>(arguments)...);
  }

  Queue* queue_;
  core* core_;  // deletes itself
};

}  // namespace asioq
