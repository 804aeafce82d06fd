#pragma once

/// @file
/// A stream that reads a file.

#include <asioq/completion.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/stream/look_ahead.hpp>
#include <asioq/detail/stream/request_access.hpp>
#include <asioq/detail/stream/stream_file.hpp>
#include <asioq/detail/stream/waiting_calls.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/error.hpp>
#include <asioq/file.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/request.hpp>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace asioq {

/// Thrown by a reader where the file cannot be read. Its text names the file and the place.
///
/// The class has default visibility whatever the compiler's flags are, so that another shared object can catch it.
class [[gnu::visibility("default")]] read_error : public std::system_error {
 public:
  /// Reading `length` bytes at `offset` of the file with this name failed with `code`.
  read_error(std::error_code code, const std::string& name, std::uint64_t offset, std::size_t length)
      : std::system_error(code, "asioq: reading " + place(offset, length) + " of " + name),
        offset_(offset),
        length_(length) {}

  /// The first byte that could not be read, in bytes from the start of the file. On a pipe, how many bytes were read
  /// before.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  /// How many bytes from there on the reader skips; a `peek` that throws this has not skipped them yet. 0 if the reader
  /// skips nothing and tries again.
  [[nodiscard]] std::size_t length() const noexcept { return length_; }

 private:
  static std::string place(std::uint64_t offset, std::size_t length) {
    return length != 0 ? detail::name_of_place(length, offset) : "at offset " + std::to_string(offset);
  }

  std::uint64_t offset_;
  std::size_t length_;
};

template <class Queue>
class reader_buf;

/// The options of a reader, in the order that designated initialisers need.
struct reader_options {
  /// Where to begin, in bytes from the start of the file; any number, whatever the file's alignment is.
  std::uint64_t offset = 0;
  /// The most bytes to read. After them the reader is at its end, as at the end of the file.
  std::uint64_t length = std::numeric_limits<std::uint64_t>::max();
  /// The most bytes to read ahead, beyond the block that the program has or wants. Rounded down to whole buffers of the
  /// queue, but at least one and at most 1024 of them. With 0, the reader reads nothing before it is asked for.
  std::size_t max_ahead = std::size_t{2} << 20U;
};

/// Reads a file sequentially, in blocks that it reads ahead through a queue. It can seek.
///
/// It takes requests of the queue for its blocks, and gives each buffer back once its block is consumed. A block is as
/// long as the queue's buffers, rounded down to the file's alignment. The reader submits the requests as reads with a
/// receiver, and uses nothing else of the queue. So it works on every executor, and shares the queue with other streams
/// and with the program's own requests. If the file is direct, the reader reads aligned blocks, and hands out the part
/// that the program asked for.
///
/// **Order.** The reader's reads have their place in the order of the queue. So a call sees everything that was
/// submitted on the queue before it, unless the reader had already read the block ahead. Such a block has what the file
/// had when it was read. After a `seek` to a place that is not in these blocks, and at the end of the file, the reader
/// reads again.
///
/// **The end.** A call at the end of the file tries to read more, as read(2) does. So a file may grow: after an empty
/// `next()`, the next call tries again. If the file shrinks, the reader ends where the file then ends, or once it has
/// handed out what it has read ahead. After `reader_options::length` bytes it ends for good.
///
/// **Look-ahead.** The reader begins one block ahead. It doubles the distance when the program really waits for a
/// block, up to `reader_options::max_ahead`. It reduces the distance when the program no longer waits, or when seeks
/// throw away more than a quarter of what was read ahead. A seek into a block that has been read ahead keeps the block.
/// In strict order the reads overlap with the program's work; in as-if-serial order, with each other, too. The reader
/// reads nothing ahead beyond the end that the file had when the reader was made, unless the file turns out to be
/// longer. Look-ahead leaves a quarter of `queue_options::max_requests` to others. A read that the program needs takes
/// even the last request. If there is none, and nothing is in flight that could give one back, the call throws what the
/// queue's `get()` throws.
///
/// **Pipes**, and everything else that has no offsets, are read at their own position, one block at a time, and never
/// ahead. A block is what one read(2) returns. The reader can neither seek in them nor begin at an offset.
///
/// **Errors.** The reader first hands out the data before an error. Then the call throws `read_error`, and the reader
/// continues after the block that failed: `read_error::offset()` and `length()` say what it has skipped, and
/// `position()` is the end of that. A program that wants the readable part of the block seeks back and reads in smaller
/// pieces. A cancelled read (the queue's `cancel()`, `failure_policy::hold`) throws `std::errc::operation_canceled` and
/// skips nothing; the next call submits it again. The reader also skips nothing after a failed read of a pipe, or of a
/// place where the file was known to have ended. A call may also throw what `get()`, `submit()` and `run_one()` of the
/// queue throw, and can then be repeated.
///
/// **Waiting.** A call that has to wait delivers, as `run_one()` does: it gives finished requests to all receivers of
/// the queue. So a receiver must not make such a call. If the call has to wait there, it throws what `run_one()`
/// throws. Each call that may wait has an awaitable twin, to be awaited at once: `co_await source.async_next()`. The
/// queue resumes the coroutine inside a call that delivers; see `async_submission`. The coroutine may destroy the
/// reader then. The reader takes one call at a time: make no other until an awaited one has returned. A suspended
/// coroutine may be destroyed; the position stays where it then was.
///
/// **Lifetime.** The queue and the file must outlive the reader. The destructor does not wait: it cancels the reads
/// that have not begun, and all reads recycle themselves. The descriptor should stay open until they have finished, and
/// that of a pipe must.
///
/// **Threads.** As the queue's: one owner.
///
/// **Allocations.** The constructor allocates some bytes for each block of `max_ahead`. After that only the queue
/// allocates, when the reader needs more requests than the queue has made.
template <class Queue>
class reader final : private completion {
 public:
  /// Reads the file from `options.offset` on. Throws `std::invalid_argument` if the file is closed, if the queue's
  /// `buffer_size` is less than the file's alignment, or if the offset exceeds 2^63 - 1. Throws `std::system_error`
  /// (`std::errc::invalid_seek`) for an offset in a pipe. The reader may switch the file to the page cache (see
  /// `file`).
  explicit reader(Queue& queue, const file& its, reader_options options = {})
      : reader(queue, detail::stream_file(queue, its), options) {}

  /// The same for a descriptor. The reader uses and moves the descriptor's own position only if it has no offsets.
  explicit reader(Queue& queue, int fd, reader_options options = {})
      : reader(queue, detail::stream_file(queue, fd), options) {}

  /// The file has to outlive the reader.
  explicit reader(Queue& queue, file&& its, reader_options options = {}) = delete;

  reader(const reader&) = delete;
  reader& operator=(const reader&) = delete;

  /// Does not wait. See "Lifetime".
  ~reader() {
    for (std::size_t i = 0; i < count_; ++i)
      if (at(i).record != nullptr) detail::request_access::abandon(*at(i).record);
    for (detail::request_record* const one : discarded_) detail::request_access::abandon(*one);
  }

  /// Returns the rest of the block that contains the position, without a copy, and moves the position to its end. Empty
  /// at the end. The bytes are valid until the next call of the reader.
  [[nodiscard]] std::span<const std::byte> next() { return run(next_call(*this, blocking)); }

  /// Copies bytes from the position on until `to` is full, and returns how many it has copied: fewer only at the end.
  /// If it throws, `to` has the bytes before `read_error::offset()`.
  std::size_t read(std::span<std::byte> to) { return run(read_call(*this, blocking, to)); }

  /// Returns the next `count` bytes, or fewer at the end or before an error, and leaves the position where it is.
  /// Copies nothing if one block has them all. The bytes are valid until the next call. If the first of them cannot be
  /// read, the call throws and skips nothing. A further `peek` there throws again, unless the failure is one after
  /// which the reader tries again: see "Errors". Throws `std::invalid_argument` if `count` exceeds the queue's
  /// `buffer_size`.
  [[nodiscard]] std::span<const std::byte> peek(std::size_t count) { return run(peek_call(*this, blocking, count)); }

  /// Returns the block that `next()` would return, as a request of the queue with its buffer; an empty handle at the
  /// end. The request's `data()` are the bytes, `offset()` is where they are in the file, and `length()` is how many
  /// there are. The bytes need not start at the beginning of `buffer()`, for example after a seek. The buffer goes back
  /// to the queue when the handle is destroyed.
  [[nodiscard]] asio_request take() { return run(take_call(*this, blocking)); }

  /// Moves the position to any byte of the file, or beyond its end. Throws `std::invalid_argument` if the offset
  /// exceeds 2^63 - 1, and `std::system_error` (`std::errc::invalid_seek`) if the file has no offsets and this is not
  /// the current position. Neither waits nor reads.
  void seek(std::uint64_t offset) {
    check_place(offset);
    position_ = offset;
  }

  /// Where the next byte comes from, in bytes from the start of the file; of a pipe, how many have been read.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }

  /// `co_await` gives what `next()` returns.
  [[nodiscard]] auto async_next() { return awaitable(next_call(*this, awaiting)); }
  /// `co_await` gives what `read(to)` returns.
  [[nodiscard]] auto async_read(std::span<std::byte> to) { return awaitable(read_call(*this, awaiting, to)); }
  /// `co_await` gives what `peek(count)` returns.
  [[nodiscard]] auto async_peek(std::size_t count) { return awaitable(peek_call(*this, awaiting, count)); }
  /// `co_await` gives what `take()` returns.
  [[nodiscard]] auto async_take() { return awaitable(take_call(*this, awaiting)); }

 private:
  friend class reader_buf<Queue>;

  enum form : bool { awaiting, blocking };
  enum class purpose { needed, ahead };

  /// A part of the file that is being read or has been read. The blocks are in the order of the file, without a gap.
  struct block {
    std::uint64_t begin = 0;                   // of what is left of it, in the file
    std::uint64_t end = 0;                     // of what was asked for: the next block begins here
    std::uint64_t read_at = 0;                 // where the read begins; before `begin` for the sake of alignment
    std::uint64_t asked_by = 0;                // the call that has submitted it
    detail::request_record* record = nullptr;  // while it is in flight
    asio_request request;                      // afterwards, as long as there are data
    std::span<std::byte> data;                 // from `begin` on
    int error = 0;                             // why nothing comes after the data, an errno value
    std::uint64_t tried = 0;                   // where the error came: nothing is known of what comes after
    bool ends_file = false;                    // there was nothing after the data
    bool was_direct = false;                   // the file was, when the read was submitted
    bool is_in_sequence = false;               // the consumer was to come here next, when it was submitted
    bool is_ahead = false;                     // read ahead, and not yet consumed
    bool was_waited_for = false;               // really
    bool is_noted = false;                     // the look-ahead knows that it is consumed

    /// The consumer has got as far as `position`.
    void consume_until(std::uint64_t position) noexcept {
      const std::uint64_t passed = position - begin;
      begin = position;
      if (record == nullptr)
        data = data.subspan(static_cast<std::size_t>(std::min<std::uint64_t>(passed, data.size())));
    }
  };

  /// What all calls have: see waiting_calls.hpp.
  class any_call {
   public:
    void check_that_it_will() const {
      if (!its_->has_in_flight()) static_cast<void>(its_->queue_.get());
    }

   protected:
    any_call(reader& its, form how) : its_(&its), how_(how) {
      assert(its.calls_.empty() && "a call of a reader while another one waits");
      ++its.call_;
    }
    reader* its_;
    form how_;
  };

  class next_call : public any_call {
   public:
    next_call(reader& its, form how) : any_call(its, how) {}
    bool goes_on() { return this->its_->arrive(this->how_); }
    std::span<const std::byte> result() {
      const std::span<const std::byte> its = this->its_->data();
      this->its_->position_ += its.size();
      return its;
    }
  };

  class read_call : public any_call {
   public:
    read_call(reader& its, form how, std::span<std::byte> to) : any_call(its, how), to_(to) {}
    bool goes_on() {
      while (done_ < to_.size()) {
        if (!this->its_->arrive(this->how_)) return false;
        const std::span<const std::byte> data = this->its_->data();
        if (data.empty()) return true;
        const std::size_t count = std::min(data.size(), to_.size() - done_);
        std::memcpy(to_.data() + done_, data.data(), count);
        done_ += count;
        this->its_->position_ += count;
      }
      return true;
    }
    [[nodiscard]] std::size_t result() const noexcept { return done_; }

   private:
    std::span<std::byte> to_;
    std::size_t done_ = 0;
  };

  class peek_call : public any_call {
   public:
    peek_call(reader& its, form how, std::size_t count) : any_call(its, how), count_(count) {
      if (count > its.queue_.options().buffer_size) detail::refuse("asioq: peek: more than the queue's buffer_size");
    }
    bool goes_on() { return count_ == 0 || this->its_->gather(this->how_, count_); }
    [[nodiscard]] std::span<const std::byte> result() const noexcept {
      const std::span<const std::byte> data = count_ == 0 ? std::span<const std::byte>() : this->its_->data();
      return data.first(std::min(data.size(), count_));
    }

   private:
    std::size_t count_;
  };

  class take_call : public any_call {
   public:
    take_call(reader& its, form how) : any_call(its, how) {}
    bool goes_on() { return this->its_->arrive(this->how_); }
    [[nodiscard]] asio_request result() noexcept { return this->its_->take_front(); }
  };

  template <class Call>
  decltype(auto) run(Call call) {
    if (!call.goes_on()) detail::wait_for(queue_, call);
    return call.result();
  }

  template <class Call>
  auto awaitable(Call call) {
    return detail::awaitable_call<Call>(calls_, std::move(call));
  }

  reader(Queue& queue, detail::stream_file its, const reader_options& options)
      : queue_(queue),
        file_(its),
        position_(options.offset),
        end_(options.length < farthest() - std::min(options.offset, farthest()) ? options.offset + options.length
                                                                                : farthest()),
        known_end_(file_.facts().size),
        look_ahead_(most_ahead(options)) {
    if (file_.is_stream() && position_ != 0) refuse_seek();
    check_place(position_);
    blocks_.resize(most_ahead(options) + 2);  // and what the program has, and what a peek takes from
    discarded_.reserve(most_in_flight());
  }

  /// In blocks.
  [[nodiscard]] std::size_t most_ahead(const reader_options& options) const noexcept {
    if (file_.is_stream() || options.max_ahead == 0) return 0;
    return std::clamp<std::size_t>(options.max_ahead / file_.block_size(), 1, 1024);
  }

  /// Requests of all blocks and of as many discarded ones.
  [[nodiscard]] std::size_t most_in_flight() const noexcept { return 2 * blocks_.size(); }

  /// No byte beyond this is read, so that no read reaches beyond the largest offset.
  [[nodiscard]] std::uint64_t farthest() const noexcept {
    return static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) - queue_.options().buffer_size;
  }

  /// Where the reader would end now.
  [[nodiscard]] std::uint64_t end_now() const noexcept {
    return std::min(end_, detail::end_of(detail::stream_facts(queue_.get_executor(), file_.fd()), file_.fd()));
  }

  void check_place(std::uint64_t offset) const {
    if (file_.is_stream() && offset != position_) refuse_seek();
    if (offset > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      detail::refuse("asioq: the offset is negative");
  }

  [[noreturn, gnu::cold, gnu::noinline]] void refuse_seek() const {
    detail::refuse(std::errc::invalid_seek, ("asioq: seeking in " + file_.name()).c_str());
  }

  [[nodiscard]] block& at(std::size_t i) noexcept { return blocks_[(first_ + i) % blocks_.size()]; }

  /// What is there from the position on; empty at the end. For calls that have arrived.
  [[nodiscard]] std::span<std::byte> data() noexcept {
    if (count_ == 0 || position_ >= end_) return {};
    return at(0).data;
  }

  /// Makes the first block the one of the position, with data unless the reader is at its end. Returns false if it has
  /// to wait, for a read in flight or for a request. Throws what it finds instead of data.
  bool arrive(form how, bool is_to_pass_errors = true) {
    for (bool has_looked = false;;) {
      go_to_position();
      if (position_ >= end_) return true;
      if (count_ == 0 && !submit(position_, purpose::needed)) return false;
      refill();
      block& front = at(0);
      if (front.record != nullptr) {
        if (!std::exchange(has_looked, true)) {
          look(how);
          continue;
        }
        note_wait(front);
        return false;
      }
      if (!front.data.empty()) {
        note_consumed(front);
        refill();
        if (at(count_ - 1).record != nullptr) look(awaiting);
        return true;
      }
      if (front.error != 0) {
        meet_error(is_to_pass_errors);
      } else if (front.ends_file && front.asked_by == call_) {
        return true;
      } else {
        discard_from(0);  // the end, but of another time
      }
    }
  }

  /// Gathers `wanted` bytes from the position on in the first block, or all that come before the end or an error.
  bool gather(form how, std::size_t wanted) {
    for (;;) {
      if (!arrive(how, false)) return false;
      block& front = at(0);
      if (position_ >= end_ || front.data.empty()) return true;
      wanted = static_cast<std::size_t>(std::min<std::uint64_t>(wanted, end_ - position_));
      if (front.data.size() >= wanted) return true;
      if (is_outdated(front)) {
        discard_from(0);  // there may be more by now: it is read in one piece
        continue;
      }
      if (front.error != 0 || front.ends_file) return true;
      if (count_ == 1 && !submit(front.end, purpose::needed)) return false;
      block& behind = at(1);
      if (behind.record != nullptr) {
        note_wait(behind);
        return false;
      }
      if (!behind.data.empty()) {
        move_to_front(wanted - front.data.size());
      } else if (is_outdated(behind)) {
        discard_from(1);
      } else {
        return true;
      }
    }
  }

  /// Whether the end or the cancellation after the block's data was found for an earlier call, so that it may no longer
  /// hold.
  [[nodiscard]] bool is_outdated(const block& its) const noexcept {
    return (its.ends_file || its.error == ECANCELED) && its.asked_by != call_;
  }

  /// Moves up to `count` bytes from the second block to the first.
  void move_to_front(std::size_t count) noexcept {
    block& front = at(0);
    block& behind = at(1);
    count = std::min(count, behind.data.size());
    std::byte* const place = front.request.buffer().data();
    std::memmove(place, front.data.data(), front.data.size());
    std::memcpy(place + front.data.size(), behind.data.data(), count);
    front.data = {place, front.data.size() + count};
    front.end += count;
    behind.consume_until(behind.begin + count);
    if (behind.begin != behind.end) return;
    note_consumed(behind);
    std::swap(front, behind);
    drop_front();
  }

  /// Drops what the position has left.
  void go_to_position() noexcept {
    std::size_t unread = 0;
    while (count_ != 0 && (position_ < at(0).begin || position_ >= at(0).end)) {
      if (at(0).is_ahead) ++unread;
      drop_front();
    }
    if (unread != 0) look_ahead_.thrown_away(unread);
    if (count_ != 0) at(0).consume_until(position_);
  }

  [[nodiscard]] bool has_in_flight() noexcept {
    for (std::size_t i = 0; i < count_; ++i)
      if (at(i).record != nullptr) return true;
    return !discarded_.empty();
  }

  /// Reads ahead as far as that is due.
  void refill() noexcept {
    if (count_ == 0) return;
    for (std::size_t wanted = look_ahead_.wanted(count_ - 1); wanted > 0; --wanted) {
      const block& last = at(count_ - 1);
      if (last.ends_file || last.end >= std::min(end_, known_end_)) return;
      try {
        if (!submit(last.end, purpose::ahead)) return;
      } catch (...) {
        return;  // it will be thrown when the block is needed
      }
    }
  }

  /// Keeps the reads going while the program is busy: begins what is due, and takes in what is done. A call that may
  /// wait also delivers. Exceptions are dropped here: the call that has to wait throws them again.
  void look(form how) noexcept {
    try {
      if (how == blocking)
        queue_.poll();
      else
        detail::request_access::begin(queue_);
    } catch (...) {  // NOLINT(bugprone-empty-catch): see above
    }
  }

  /// Submits the read of the block that begins at `begin`. Returns whether there was a request for it.
  bool submit(std::uint64_t begin, purpose why) {
    if (count_ == blocks_.size() || count_ + discarded_.size() >= most_in_flight()) return false;
    if (why == purpose::ahead && !leaves_enough()) return false;
    asio_request request = queue_.try_get();
    if (!request) return false;
    const std::size_t alignment = file_.alignment();
    block& its = at(count_);
    its.begin = begin;
    its.read_at = begin - begin % alignment;
    its.tried = begin;
    const std::uint64_t rest = end_ - its.read_at;
    const std::size_t whole = file_.block_size();
    const std::size_t length =
        rest >= whole ? whole : static_cast<std::size_t>((rest + alignment - 1) / alignment * alignment);
    its.end = std::min(its.read_at + length, end_);
    request.prepare_read(file_.fd(), length, file_.is_stream() ? std::uint64_t{current_position} : its.read_at);
    detail::request_record& record = detail::request_access::record_of(request);
    queue_.submit(std::move(request), *this);
    its.record = &record;
    its.asked_by = call_;
    its.data = {};
    its.error = 0;
    its.ends_file = its.was_waited_for = its.is_noted = false;
    its.was_direct = file_.is_direct();
    its.is_ahead = why == purpose::ahead;
    its.is_in_sequence = its.is_ahead || count_ != 0 || begin == next_in_sequence_;
    ++count_;
    if (its.is_ahead) look_ahead_.read_ahead();
    return true;
  }

  /// Whether others still have a quarter of the queue's requests when one more is taken.
  [[nodiscard]] bool leaves_enough() const noexcept {
    const std::size_t most = queue_.options().max_requests;
    return most == 0 || queue_.allocated_requests() + most / 4 < most;
  }

  /// The consumer waits for the block. It does not really wait if the block was read and has only to be delivered.
  void note_wait(block& its) noexcept {
    if (its.record->sequence >= queue_.completed_through()) its.was_waited_for = true;
  }

  void note_consumed(block& its) noexcept {
    if (its.is_noted) return;
    its.is_noted = true;
    its.is_ahead = false;
    if (its.is_in_sequence) look_ahead_.consumed(its.was_waited_for);
  }

  /// Takes the first block's bytes out, with their request; an empty handle if there are none.
  asio_request take_front() noexcept {
    const std::span<std::byte> bytes = data();
    if (bytes.empty()) return {};
    block& front = at(0);
    asio_request taken = std::move(front.request);
    detail::request_access::narrow(taken, bytes, position_);
    front.data = {};
    front.begin += bytes.size();
    position_ += bytes.size();
    if (front.begin == front.end) drop_front();
    return taken;
  }

  void drop_front() noexcept {
    block& front = at(0);
    next_in_sequence_ = front.end;
    discard(front);
    first_ = (first_ + 1) % blocks_.size();
    --count_;
  }

  /// Drops all blocks from one on.
  void discard_from(std::size_t first) noexcept {
    for (; count_ > first; --count_) discard(at(count_ - 1));
  }

  /// Gives the block's request back to the queue. A request in flight still comes to `finished`, since a call may wait
  /// for it.
  void discard(block& its) noexcept {
    if (its.record != nullptr) {
      its.record->cancel();
      discarded_.push_back(std::exchange(its.record, nullptr));
    }
    its.request = {};
    its.data = {};
  }

  /// Throws the error that the first block has instead of data, unless the block is to be read again at once.
  void meet_error(bool is_to_pass) {
    block& front = at(0);
    const int error = front.error;
    if (file_.takes_page_cache_after(error, front.was_direct)) {
      discard_from(0);
      return;
    }
    if (error != ECANCELED && position_ > front.tried) {
      discard_from(0);  // after a seek: nothing says yet that it cannot be read from here on
      return;
    }
    const bool leaves_out_nothing = error == ECANCELED || file_.is_stream() || position_ >= known_end_;
    const std::uint64_t until = leaves_out_nothing ? position_ : std::min(front.end, known_end_);
    const std::uint64_t place = position_;
    const std::string name = file_.name();
    if (until == place) {
      discard_from(0);
    } else if (is_to_pass) {
      position_ = until;
      drop_front();
    }
    throw read_error({error, std::system_category()}, name, place, static_cast<std::size_t>(until - place));
  }

  /// A block has been read; it may have been discarded meanwhile.
  void finished(asio_request request) noexcept override {
    detail::request_record* const record = &detail::request_access::record_of(request);
    std::size_t i = 0;
    while (i < count_ && at(i).record != record) ++i;
    if (i < count_) {
      receive(i, std::move(request));
    } else {
      std::erase(discarded_, record);
    }
    request = {};  // the call that goes on may need it
    calls_.go_on();
  }

  void receive(std::size_t i, asio_request request) noexcept {
    block& its = at(i);
    its.record = nullptr;
    its.error = request.error().value();
    const std::span<std::byte> all = request.data();
    its.tried = std::max(its.tried, its.read_at + all.size());
    if (file_.is_stream()) {
      its.data = all;
      its.ends_file = its.error == 0 && all.empty();
      if (its.error == 0 && !all.empty()) its.end = its.begin + all.size();
    } else {
      const std::uint64_t last = std::min(its.read_at + all.size(), its.end);
      if (last > its.begin)
        its.data =
            all.subspan(static_cast<std::size_t>(its.begin - its.read_at), static_cast<std::size_t>(last - its.begin));
      its.ends_file = its.error == 0 && last < its.end;
      if (its.ends_file)
        known_end_ = all.empty() ? std::min(known_end_, its.read_at) : its.read_at + all.size();
      else if (last > known_end_)
        known_end_ = file_facts::unlimited;  // it has grown, and may go on to do so
    }
    if (!its.data.empty()) its.request = std::move(request);
  }

  Queue& queue_;
  detail::stream_file file_;
  std::uint64_t position_;
  std::uint64_t end_;                             // constant: no byte from here on is handed out
  std::uint64_t known_end_;                       // of the file, as far as is known: nothing is read ahead beyond it
  std::uint64_t next_in_sequence_ = no_sequence;  // where the blocks that were dropped last have ended
  std::uint64_t call_ = 0;                        // calls so far
  std::vector<block> blocks_;                     // a ring: `count_` of them, from `first_` on
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::vector<detail::request_record*> discarded_;  // in flight, and no longer wanted
  detail::look_ahead look_ahead_;
  detail::waiting_calls calls_;

  static constexpr std::uint64_t no_sequence = std::numeric_limits<std::uint64_t>::max();
};

}  // namespace asioq
