#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/completion.hpp>
#include <asioq/detail/order/failure_log.hpp>
#include <asioq/detail/request/pool.hpp>
#include <asioq/detail/stream/block_ring.hpp>
#include <asioq/detail/stream/request_access.hpp>
#include <asioq/detail/stream/stream_file.hpp>
#include <asioq/detail/stream/waiting_calls.hpp>
#include <asioq/detail/stream/write_blocks.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/error.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace asioq::detail {

/// The write-behind of a writer: everything but the type of its queue.
///
/// The bytes are in `write_blocks`. `pump` decides what to submit next, and never blocks. Every change that may affect
/// that decision calls it.
///
/// PADDING
///
/// Padding past the end makes the file too long. A truncate, the *cut*, removes it before a sync and at the end. The
/// cut waits until everything submitted is written, so that it never extends a file in which a write has failed.
/// `physical_end_` is how far the writer has written, padding included. If the file is longer than that, or a request
/// with the queue will make it longer, something else has extended it, and the writer does not cut it. If that request
/// then fails, the padding stays.
///
/// FAILURES
///
/// After a failure the writer submits nothing and accepts nothing until `retry`. Then, once the queue has none of its
/// requests, it submits again all blocks from the first one that is not written. That includes later blocks that were
/// written: blocks overlap, so writing only some of them again could leave older bytes in place. If a sync has failed,
/// the kernel may have dropped what it had. Then everything that is not durable counts as not written. If the writer no
/// longer has that, none of its further syncs succeeds.
class write_behind : public completion, private write_blocks {
 public:
  struct settings {
    std::uint64_t start;
    std::size_t max_behind;  // bytes
    bool keeps_until_durable;
  };

  write_behind(const write_behind&) = delete;
  write_behind& operator=(const write_behind&) = delete;

  // What a call in its turn has put in so far is not accepted yet.
  [[nodiscard]] std::uint64_t position() const noexcept { return accepted(); }
  [[nodiscard]] std::uint64_t written_through() const noexcept { return std::min(written_, accepted()); }
  [[nodiscard]] std::uint64_t durable_through() const noexcept { return std::min(durable_, accepted()); }

  /// Returns the failure, of which the caller knows from here on.
  [[nodiscard]] std::error_code tell_error() noexcept {
    if (error_ == 0) return {};
    is_told_ = true;
    return {error_, std::system_category()};
  }

  /// The fast path, for bytes that fit into the current block and leave room there. In all other cases does nothing and
  /// returns false.
  [[gnu::always_inline]] bool write_at_once(std::span<const std::byte> bytes) noexcept {
    if (!has_current_ || error_ != 0 || is_closing_ || turn_ != nullptr || reserved_ != 0) return false;
    if (bytes.size() >= current_.room()) return false;
    if (bytes.empty()) return true;
    std::memcpy(current_.next(), bytes.data(), bytes.size());
    accept_in_current(bytes.size());
    return true;
  }

  void start_flush() {
    check_open();
    drop_reservation();
    want_flush(accepted());
    pump();
    throw_if_failed();
  }

  void start_sync() {
    check_open();
    drop_reservation();
    static_cast<void>(want_sync());
    pump();
    throw_if_failed();
  }

  void commit(std::size_t count) {
    check_open();
    if (count > reserved_) refuse("asioq: commit: more than was reserved");
    const bool is_aside = reserved_aside_;
    reserved_ = 0;
    reserved_aside_ = false;
    if (is_aside)
      take_from_aside(count);
    else
      accept_in_current(count);
    pump();
  }

  void retry() {
    if (error_ == 0) return;
    check_not_closed();
    resume_queue();
    error_ = 0;
    is_told_ = false;
    failed_ = {};
    is_rewinding_ = true;
    pump();
  }

  /// Calls `take(offset, bytes, request)` for each part of what is not written (or not durable), in order. Requests
  /// that `take` does not move from go back to the queue. The queue must have no request of this writer. The writer is
  /// closed then.
  template <class Take>
  void hand_out(Take take) {
    if (turn_ != nullptr) turn_->abandon();
    is_closing_ = is_closed_ = true;
    hand_out_blocks(take);
    release();
    is_told_ = true;
  }
  /// The most parts that `hand_out` hands out.
  [[nodiscard]] std::size_t parts() const noexcept { return blocks_.size() + (has_current_ ? 1 : 0); }
  [[nodiscard]] bool is_with_queue() const noexcept { return outstanding_ != 0; }

  /// Lets the waiting calls go on, and resumes the coroutines of those that have ended. They may destroy the writer,
  /// and this with it.
  void serve() noexcept {
    if (is_serving_) return;
    is_serving_ = true;
    calls_.go_on([this] { return is_abandoned_; });
    is_serving_ = false;
#ifndef __clang_analyzer__  // it takes for granted that the program then goes on to use the writer
    if (is_abandoned_ && outstanding_ == 0 && !is_in_finished_) delete this;
#endif
  }
  [[nodiscard]] waiting_calls& calls() noexcept { return calls_; }

  /// The writer is being destroyed: finishes what was accepted, and deletes this, now or when the last request has come
  /// back.
  void end() noexcept {
    if (turn_ != nullptr) turn_->abandon();
    if (closer_is_closing_ != nullptr) *closer_is_closing_ = false;
    if (error_ == 0 && !is_closed_ && !is_clean()) finish_blocking();
    while (outstanding_ != 0 && deliver_one() == delivery::done) {
    }
    is_abandoned_ = true;
    may_submit_ = false;
    is_orphan_ = outstanding_ != 0;
    if (is_orphan_) return;
    report_loss(true);
    if (!is_serving_ && !is_in_finished_) delete this;
  }

  void finished(asio_request request) noexcept override {
    is_in_finished_ = true;
    --outstanding_;
    take_back(std::move(request));
    pump();
    if (!is_abandoned_) serve();
    is_in_finished_ = false;
    if (!is_abandoned_ || outstanding_ != 0) return;
    if (is_orphan_) report_loss(false);
    delete this;
  }

 protected:
  /// Throws `std::invalid_argument` for settings that make no sense.
  write_behind(const stream_file& its_file, const settings& its)
      : write_blocks(its_file, its.start, its.keeps_until_durable),
        exceptions_before_(std::uncaught_exceptions()),
        extent_(file_.facts().size),
        flush_to_(its.start) {
    if (its.max_behind == 0) refuse("asioq: max_behind is 0");
    if (file_.facts().appends) refuse("asioq: a writer of a descriptor with O_APPEND; use writer_options::append");
    const std::size_t unit = file_.alignment();
    block_size_ = std::min(file_.block_size(), std::max(unit, its.max_behind - its.max_behind % unit));
    max_blocks_ = std::max<std::size_t>(its.max_behind / block_size_, 1);
    most_in_flight_ = file_.is_stream() ? 1 : max_blocks_;
  }
  virtual ~write_behind() = default;

  /// Notes whether something else has made the file longer than this writer has, or will when the queue has carried out
  /// all its requests. Returns false if the kernel does not say how long the file is.
  bool look_at_size() noexcept {
    const file_facts now = facts(file_.fd());
    if (now.is_stream && !file_.is_stream()) return false;
    // A cut in flight may have yet to take effect, and may fail.
    if (now.size > std::max(physical_end_, cut_from_)) extent_ = std::max(extent_, now.size);
    return true;
  }

  // What the writer needs of the queue.
  virtual asio_request try_get() = 0;
  virtual void submit(asio_request&& request) = 0;
  /// As `run_one` of the queue; false if there was nothing to deliver.
  virtual bool deliver() = 0;
  virtual void resume_queue() = 0;
  virtual void sync_queue() = 0;
  [[nodiscard]] virtual bool is_holding_queue() const noexcept = 0;
  /// As `facts_ahead`.
  [[nodiscard]] virtual file_facts facts(int fd) const noexcept = 0;
  /// Returns false if there is no `on_lost_failure`.
  virtual bool report(asio_request& request) = 0;

 public:
  /// A call that accepts bytes. One call at a time has its turn. If it ends before it has accepted everything, it has
  /// accepted nothing.
  class accepting_call {
   public:
    accepting_call(const accepting_call&) = delete;
    accepting_call& operator=(const accepting_call&) = delete;

    void check_that_it_will() const { its_.check_that_something_comes(); }

    /// Ends the call, which has its turn and has not accepted everything. It does not touch the writer afterwards.
    void abandon() noexcept {
      its_.roll_back(its_.turn_start_);
      end_turn();
    }

   protected:
    explicit accepting_call(write_behind& its) noexcept : its_(its) {}
    ~accepting_call() {
      if (has_turn_) abandon();
    }

    /// Whether it is this call's turn.
    bool begins() {
      its_.check_open();
      if (!has_turn_) {
        if (its_.turn_ != nullptr) return false;
        its_.end_reservation();
        its_.turn_ = this;
        has_turn_ = true;
        its_.begin_turn();
      }
      return true;
    }
    /// Everything was accepted.
    bool ends() noexcept {
      end_turn();
      return true;
    }
    void end_turn() noexcept {
      if (!std::exchange(has_turn_, false)) return;
      its_.turn_ = nullptr;
      its_.mark_is_due_ = false;
    }

    write_behind& its_;

   private:
    bool has_turn_ = false;
  };

  // The calls: see write_calls.hpp.
  class write_call;
  class put_call;
  class reserve_call;
  class settling_call;
  class flush_call;
  class sync_call;
  class close_call;

 private:
  // Errors

  void check_not_closed() const {
    if (is_closed_) refuse(std::errc::operation_not_permitted, "asioq: the writer is closed");
  }
  void check_open() {
    throw_if_failed();
    check_not_closed();
    if (is_closing_) refuse(std::errc::operation_not_permitted, "asioq: the writer is being closed");
  }
  void throw_if_failed() {
    if (error_ != 0) [[unlikely]]
      throw_error();
  }
  /// A call that has to wait throws only once the queue has no more requests of this writer, so that the caller may
  /// call `retry` or `rescue` at once.
  void throw_if_failed_and_settled() {
    if (error_ != 0 && outstanding_ == 0) [[unlikely]]
      throw_error();
  }
  [[noreturn, gnu::cold, gnu::noinline]] void throw_error() {
    std::string what = failed_op_ == asio_op::free ? "writing" : traits_of(failed_op_).name;
    if (failed_length_ != 0) what += " of " + name_of_place(failed_length_, failed_offset_);
    const std::system_error error({error_, std::system_category()}, "asioq: " + what + " of " + file_.name());
    is_told_ = true;
    throw std::system_error(error);
  }
  void check_that_something_comes() const {
    if (outstanding_ == 0 && lacks_request_)
      refuse(std::errc::not_enough_memory, "asioq: all max_requests requests are in use");
  }

  /// `its` is the request that has failed, or null if the failure was none of a request.
  void fail(int error, const asio_request* its = nullptr) noexcept {
    if (error_ != 0) return;
    error_ = error;
    is_told_ = false;
    failed_op_ = its != nullptr ? its->op() : asio_op::free;
    failed_offset_ = its != nullptr ? its->offset() : 0;
    failed_length_ = its != nullptr ? its->length() : 0;
  }
  void fail_by_exception() noexcept {
    try {
      throw;
    } catch (const std::system_error& error) {
      fail(error.code().value() != 0 ? error.code().value() : EIO);
    } catch (const std::bad_alloc&) {
      fail(ENOMEM);
    } catch (...) {
      fail(EIO);
    }
  }

  // Accepting

  /// Takes a request for data. Returns false if none is available now.
  bool get_for_data(asio_request& request) {
    request = try_get();
    lacks_request_ = !request;
    if (request) {
      wants_room_ = false;
      home_ = request_access::record_of(request).home;
      return true;
    }
    wants_room_ = true;
    pump();
    return false;
  }

  /// Begins a block at the position, with room for at least `least` bytes if a block can be that long. Returns false if
  /// it has to wait.
  bool begin_block(std::size_t least = 0) {
    blocks_.reserve(2);
    asio_request request;
    if (!get_for_data(request)) return false;
    std::byte* const bytes = request.buffer().data();
    begin_block_in(std::move(request), bytes, file_.block_size());
    // Blocks end at multiples of the block size, wherever the writer began.
    const auto from = static_cast<std::size_t>(current_.base % block_size_);
    const std::size_t capacity = block_size_ - from;
    if (capacity >= least + static_cast<std::size_t>(position_ - current_.base)) current_.capacity = capacity;
    return true;
  }

  /// Moves the current block behind the others. Returns false if it has to wait.
  bool close_block() {
    if (blocks_.size() >= max_blocks_) {
      wants_room_ = true;
      pump();
      throw_if_failed();
      if (blocks_.size() >= max_blocks_) return false;
    }
    if (!has_current_) return true;
    push_current();
    pump();
    throw_if_failed();
    return true;
  }

  void check_size(std::size_t more) const {
    constexpr std::uint64_t most = std::uint64_t{1} << 62U;  // so that no end of a unit is out of range
    if (more > most - std::min(position_, most))
      refuse(std::errc::file_too_large, "asioq: the file would be too large");
  }

  /// Accepts from the front of `rest`. Returns false if it has to wait before it can go on.
  bool accept(std::span<const std::byte>& rest) {
    check_size(rest.size());
    while (!rest.empty()) {
      if (current_is_full() && !close_block()) return false;
      if (!has_current_ && !begin_block()) return false;
      const std::size_t count = std::min(rest.size(), current_.room());
      std::memcpy(current_.next(), rest.data(), count);
      accept_in_current(count);
      rest = rest.subspan(count);
    }
    if (current_is_full()) {
      pump();
      throw_if_failed();
    }
    return true;
  }

  /// Whether a block may be written from the buffer it is in.
  bool may_adopt(const asio_request& block) {
    const std::span<const std::byte> data = block.data();
    const auto first = static_cast<std::size_t>(data.data() - block.buffer().data());
    const std::size_t unit = file_.alignment();
    if (home_ == nullptr)
      if (const asio_request one = try_get()) home_ = request_access::record_of(one).home;
    if (request_access::record_of(block).home != home_ || data.size() > block_size_) return false;
    const bool fits_in = has_current_ && !current_is_clean() && data.size() <= current_.room();
    if (fits_in && data.size() <= buffer_alignment) return false;
    const std::size_t most = block.buffer().size() - first;
    return position_ % unit == 0 && first % unit == 0 && data.size() <= most - most % unit;
  }

  /// Makes the request the current block. Returns false if it has to wait.
  bool adopt(asio_request& block) {
    const std::span<std::byte> data = block.data();
    check_size(data.size());
    blocks_.reserve(2);
    if (has_current_ && !close_block()) return false;
    std::size_t most = block.buffer().size() - static_cast<std::size_t>(data.data() - block.buffer().data());
    most -= most % file_.alignment();
    begin_block_in(std::move(block), data.data(), most);
    current_.capacity = std::min(most, std::max(data.size(), block_size_));
    if (is_direct()) current_.capacity = std::min<std::size_t>(most, end_of_unit(current_.capacity));
    accept_in_current(data.size());
    pump();
    return true;
  }

  /// Finds room for `count` bytes. Returns false if it has to wait.
  bool reserve(std::size_t count, std::span<std::byte>& room) {
    check_size(count);
    for (;;) {
      if (current_is_full() && !close_block()) return false;
      if (!has_current_ && !begin_block(count)) return false;
      const auto used = static_cast<std::size_t>(current_.end - current_.base);
      if (current_.room() < count && used + count <= current_.most) current_.capacity = current_.most;
      if (current_.room() >= count) {
        room = {current_.next(), count};
        break;
      }
      if (current_.begin == current_.end || (is_direct() && current_.end % file_.alignment() != 0)) {
        blocks_.reserve(2);
        if (!get_for_data(aside_)) return false;
        room = aside_.buffer().first(count);
        reserved_aside_ = true;
        break;
      }
      if (!close_block()) return false;
    }
    reserved_ = count;
    return true;
  }

  void take_from_aside(std::size_t count) noexcept {
    asio_request aside = std::move(aside_);
    std::byte* const bytes = aside.buffer().data();
    const std::size_t first = std::min(count, current_.room());
    std::memcpy(current_.next(), bytes, first);
    accept_in_current(first);
    if (first == count) return;
    push_current();
    begin_block_in(std::move(aside), bytes, file_.block_size());
    std::memmove(bytes, bytes + first, count - first);
    accept_in_current(count - first);
  }

  void drop_reservation() noexcept {
    reserved_ = 0;
    if (std::exchange(reserved_aside_, false)) aside_ = {};
  }

  /// The same, and lets what waits for the commit go on.
  void end_reservation() {
    if (reserved_ == 0) return;
    drop_reservation();
    pump();
    throw_if_failed();
  }

  /// Makes everything from `to` on not accepted after all.
  void roll_back(std::uint64_t to) noexcept {
    if (position_ == to) return;
    drop_from(to);
    for (std::uint64_t* its : {&flush_to_, &sync_to_, &sync_target_}) *its = std::min(*its, to);
    settle();
  }

  // Deciding what is to be done

  /// The end of what stays accepted even if the call that has its turn fails.
  [[nodiscard]] std::uint64_t accepted() const noexcept { return turn_ != nullptr ? turn_start_ : position_; }

  void want_flush(std::uint64_t to) noexcept { flush_to_ = std::max(flush_to_, to); }

  /// Asks for a sync of everything accepted. Returns how many syncs must have succeeded before that is durable.
  std::uint64_t want_sync() noexcept {
    if (lost_ != 0) {
      fail(lost_);
      return syncs_done_ + 1;
    }
    const std::uint64_t to = accepted();
    if (has_synced_ && durable_ >= to && !cut_is_due()) return syncs_done_;
    if (!sync_is_in_flight_ || sync_target_ < to) {
      wants_sync_ = true;
      sync_to_ = to;
    }
    return syncs_done_ + 1;
  }

  /// Whether a failed sync will not be submitted again although a caller still waits for it: another one has called
  /// `retry` first.
  [[nodiscard]] bool has_forgotten_sync() const noexcept {
    return outstanding_ == 0 && error_ == 0 && !is_rewinding_ && !wants_sync_;
  }

  void begin_close() noexcept {
    if (turn_ != nullptr) turn_->abandon();  // it could not go on
    drop_reservation();
    want_flush(position_);
    if (keeps_until_durable_ && durable_ < position_) static_cast<void>(want_sync());
    is_closing_ = true;
  }

  /// Whether nothing is left to be done.
  [[nodiscard]] bool is_clean() const noexcept {
    return outstanding_ == 0 && returned_ == blocks_.size() && current_is_clean() && !cut_is_due() && !wants_sync_ &&
           !is_rewinding_ && (!keeps_until_durable_ || durable_ >= position_);
  }

  [[nodiscard]] bool cut_is_due() const noexcept {
    return physical_end_ > std::max(extent_, submitted_end_) && !file_.is_stream();
  }

  /// Submits what can be submitted now.
  void pump() noexcept {
    if (is_rewinding_ && outstanding_ == 0) rewind();
    if (is_rewinding_ || error_ != 0 || !may_submit_) return;
    if (current_is_full() && blocks_.size() < max_blocks_) push_current();
    submit_blocks();
    const bool may_sync = !sync_is_in_flight_;
    const auto sync_is_due = [&] { return may_sync && (lacks_room() || (wants_sync_ && submitted_end_ >= sync_to_)); };
    const auto cut_has_to_be_now = [&] {
      return cut_is_due() && (sync_is_due() || (is_closing_ && submitted_end_ == position_));
    };
    if (!cut_has_to_be_now()) flush_current(may_sync && wants_sync_ ? std::max(flush_to_, sync_to_) : flush_to_);
    if (cut_has_to_be_now()) submit_cut();
    if (sync_is_due() && !cut_is_due()) submit_sync();
  }

  /// Whether a sync has to make room, where blocks stay until they are durable. It is due before all the room is taken.
  [[nodiscard]] bool lacks_room() const noexcept {
    const bool is_short = wants_room_ || 2 * blocks_.size() >= max_blocks_ + 1;
    return keeps_until_durable_ && is_short && returned_ != 0 && written_ > durable_;
  }

  void submit_blocks() noexcept {
    while (submitted_ < blocks_.size() && in_flight() < most_in_flight_ && error_ == 0) {
      write_block& its = blocks_[submitted_];
      if (!its.request || !is_ready(its) || !submit_block(its)) return;
    }
  }

  void flush_current(std::uint64_t goal) noexcept {
    if (current_is_clean() || current_.sent >= goal || reserved_ != 0 || !current_.request || error_ != 0) return;
    if (submitted_ != blocks_.size() || blocks_.size() >= max_blocks_ || in_flight() >= most_in_flight_) return;
    if (!is_ready(current_)) return;
    keep_edge();
    push_current();
    submit_blocks();
  }

  /// Whether the block has all bytes of the units that it writes. If not, begins to read them from the file.
  bool is_ready(write_block& its) noexcept {
    if (!is_direct()) return true;
    if (its.missing > its.base) {
      submit_read(its.base);
      return false;
    }
    if (its.padded == its.end || its.end % file_.alignment() == 0) return true;
    if (pads_with_known(its)) return true;
    if (!is_beyond_file(its.end)) {
      submit_read(unit_of(its.end));
      return false;
    }
    pad_with_zeros(its);
    return true;
  }

  /// Whether the file has nothing from `offset` on except what this writer has written. Updates `extent_` if something
  /// else has made the file longer.
  [[nodiscard]] bool is_beyond_file(std::uint64_t offset) noexcept {
    if (offset < extent_) return false;
    return look_at_size() && offset >= extent_;  // otherwise a read finds out
  }

  // Submitting

  /// A request whose buffer may be overwritten. Empty if none is available now.
  asio_request get_for_read() noexcept {
    try {
      asio_request request = try_get();
      lacks_request_ = !request;
      return request;
    } catch (...) {
      fail_by_exception();
      return {};
    }
  }

  /// A request for an operation without data. Empty if none is available now.
  asio_request get_for_control() noexcept {
    asio_request request = get_for_read();
    if (request || outstanding_ != 0 || error_ != 0) return request;
    return lend();  // the operation does not touch its buffer
  }

  /// Returns false if the queue has not taken it; then the writer has failed.
  bool submit_counted(asio_request&& request) noexcept {
    try {
      submit(std::move(request));
      ++outstanding_;
      return true;
    } catch (...) {
      fail_by_exception();
      return false;
    }
  }

  /// The same for a request from `get_for_control`, which goes back to its block if the queue has not taken it.
  bool submit_control(asio_request&& request) noexcept {
    if (submit_counted(std::move(request))) return true;
    give_back(request);
    return false;
  }

  bool submit_block(write_block& its) noexcept {
    const std::uint64_t from = is_direct() ? std::max(unit_of(its.sent), its.base) : its.sent;
    const std::uint64_t to = end_of_unit(its.end);
    try {
      its.request.prepare_write(file_.fd(), static_cast<std::size_t>(to - from),
                                file_.is_stream() ? current_position : from);
      its.request.use_from(static_cast<std::size_t>(its.at(from) - its.request.buffer().data()));
    } catch (...) {
      fail_by_exception();
      return false;
    }
    if (!submit_counted(std::move(its.request))) return false;
    ++submitted_;
    submitted_end_ = std::max(submitted_end_, its.end);
    physical_end_ = std::max(physical_end_, to);
    return true;
  }

  /// Reads the unit at `base`, unless a unit is being read.
  void submit_read(std::uint64_t base) noexcept {
    if (read_is_in_flight_) return;
    asio_request request = get_for_read();
    if (!request) {
      wants_room_ = true;
      return;
    }
    request.prepare_read(file_.fd(), file_.alignment(), base);
    if (submit_counted(std::move(request))) read_is_in_flight_ = true;
  }

  void submit_cut() noexcept {
    if (in_flight() != 0 && !hurries_) return;
    if (!look_at_size()) {  // it must neither cut what others have written nor leave the zeros
      fail(EIO);
      return;
    }
    if (!cut_is_due()) return;
    asio_request request = get_for_control();
    if (!request) return;
    const std::uint64_t to = std::max(extent_, submitted_end_);
    request.prepare_truncate(file_.fd(), to);
    if (!submit_control(std::move(request))) return;
    cut_from_ = std::exchange(physical_end_, to);
  }

  void submit_sync() noexcept {
    asio_request request = get_for_control();
    if (!request) return;
    // What is durable is a prefix, whatever is written behind it meanwhile.
    request.prepare_fdatasync(file_.fd(), sync_barrier::none);
    if (!submit_control(std::move(request))) return;
    sync_is_in_flight_ = true;
    wants_room_ = false;
    sync_target_ = submitted_end_;
    wants_sync_ = wants_sync_ && sync_to_ > sync_target_;
  }

  // Taking back

  void take_back(asio_request request) noexcept {
    const int error = request.error().value();
    switch (request.op()) {
      case asio_op::read:
        take_back_read(request, error);
        break;
      case asio_op::truncate:
        if (error != 0) physical_end_ = std::max(physical_end_, cut_from_);
        cut_from_ = 0;
        fail_unless_known(error, request);
        break;
      case asio_op::fdatasync:
        take_back_sync(request, error);
        break;
      default:
        take_back_block(std::move(request), error);
        return;
    }
    if (request) give_back(request);
    settle();
  }

  /// The failure of a request without data.
  void fail_unless_known(int error, asio_request& request) noexcept {
    if (error == 0 || is_rewinding_ || error_ != 0) return;
    fail(error, &request);
    give_back(request);
    if (request) failed_ = std::move(request);
  }

  void take_back_block(asio_request request, int error) noexcept {
    write_block& its = blocks_[returned_++];
    its.request = std::move(request);
    if (!its.is_dropped && !is_rewinding_ && error_ == 0) {
      if (error == 0) {
        its.is_written = true;
        its.sent = its.end;
        written_ = std::max(written_, its.end);
      } else {
        const std::uint64_t from = file_.is_stream() ? its.sent : its.request.offset();
        const std::uint64_t reached = std::min(from + its.request.bytes_transferred(), its.end);
        written_ = std::max(written_, reached);
        if (file_.is_stream()) its.sent = reached;
        take_page_cache_or_fail(error, its.request);
      }
    }
    settle();
  }

  void take_back_read(asio_request& request, int error) noexcept {
    read_is_in_flight_ = false;
    if (error != 0) {
      if (is_rewinding_ || error_ != 0) return;
      take_page_cache_or_fail(error, request);
      if (error_ != 0) failed_ = std::move(request);
      return;
    }
    if (!is_direct()) return;
    take_in_unit(request.offset(), request.data());
  }

  /// A transfer has failed. If the kernel has refused it because it was direct, the writer resubmits everything through
  /// the page cache.
  void take_page_cache_or_fail(int error, const asio_request& request) noexcept {
    try {
      if (is_direct() && file_.takes_page_cache_after(error, true) && !is_holding_queue()) {
        is_rewinding_ = true;
        return;
      }
    } catch (...) {  // NOLINT(bugprone-empty-catch): it must be direct
    }
    fail(error, &request);
  }

  void take_back_sync(asio_request& request, int error) noexcept {
    sync_is_in_flight_ = false;
    if (error == 0) {
      ++syncs_done_;
      has_synced_ = true;
      durable_ = std::max(durable_, std::min(sync_target_, written_));
      return;
    }
    // If the file cannot be synced at all, a second sync would also fail.
    const bool is_wanted_again = error == ECANCELED || failure_log::may_have_lost_data(error);
    sync_to_ = wants_sync_ ? std::max(sync_to_, sync_target_) : sync_target_;
    wants_sync_ = is_wanted_again;
    if (failure_log::may_have_lost_data(error)) sync_failed_ = error;
    fail_unless_known(error, request);
  }

  /// Lets go of the blocks that need not be kept.
  void settle() noexcept {
    if (error_ == 0 && !is_rewinding_ && !is_closing_) reopen_last();
    let_go();
  }

  /// Prepares to resubmit everything that is not written, or not durable if a sync has failed. The queue has no request
  /// of this writer.
  void rewind() noexcept {
    is_rewinding_ = false;
    purge_dropped();
    if (std::exchange(sync_failed_, 0) != 0) {
      const std::uint64_t written = written_;
      if (count_as_not_written()) {
        want_flush(written);
      } else {
        lost_ = EIO;
        wants_sync_ = false;
      }
    }
    submit_again();
  }

  void release() noexcept {
    release_blocks();
    drop_reservation();
    failed_ = {};
  }

  // The end

  enum class delivery { done, nothing, not_here };

  delivery deliver_one() noexcept {
    try {
      return deliver() ? delivery::done : delivery::nothing;
    } catch (...) {
      return delivery::not_here;  // inside a delivery, which must not wait for another
    }
  }

  void finish_blocking() noexcept {
    begin_close();
    for (;;) {
      pump();
      if (error_ != 0 || is_clean()) return;
      const delivery its = deliver_one();
      if (its == delivery::done) continue;
      if (its == delivery::not_here) finish_without_deliveries();
      return;
    }
  }

  /// Has the queue carry out everything now. The results come later.
  void finish_without_deliveries() noexcept {
    try {
      blocks_.reserve(1);
      hurries_ = true;
      max_blocks_ = most_in_flight_ = blocks_.size() + 1;
      pump();
      sync_queue();
    } catch (...) {  // NOLINT(bugprone-empty-catch): what is not carried out is reported later
    }
  }

  /// Reports what is lost, unless the program already knows.
  void report_loss(bool may_terminate) noexcept {
    const std::uint64_t kept = keeps_until_durable_ ? durable_ : written_;
    if (is_closed_ || is_told_ || (error_ == 0 && kept >= position_ && is_clean())) return;
    const bool has_failed = error_ != 0;
    if (!has_failed) error_ = ECANCELED;
    bool is_reported = true;
    bool has_reported = false;
    const auto report_from = [&](write_block& its, std::uint64_t from) {
      if (its.is_dropped || its.end <= from || !its.request || !is_reported) return;
      prepare_as_failed(its.request, its.at(from), static_cast<std::size_t>(its.end - from), from);
      has_reported = true;
      is_reported = report(its.request);
    };
    const auto report_unwritten = [&](write_block& its) {
      if (!its.is_written) report_from(its, std::max(its.begin, kept));
    };
    for (std::size_t i = 0; i < blocks_.size(); ++i) report_unwritten(blocks_[i]);
    if (has_current_) report_unwritten(current_);
    if (failed_ && !has_reported) {
      has_reported = true;
      is_reported = report(failed_);
    }
    // What has failed was a unit that was written before, or a sync with the request of a block.
    for (std::size_t i = 0; i < blocks_.size() && has_failed && !has_reported; ++i)
      report_from(blocks_[i], blocks_[i].begin);
    if (is_reported && has_reported) return;
    print_loss(kept);
    if (may_terminate && std::uncaught_exceptions() <= exceptions_before_) std::terminate();
  }

  void print_loss(std::uint64_t from) const noexcept {
    const auto offset = static_cast<unsigned long long>(from);
    try {
      std::fprintf(stderr, "asioq: a failure was not reported: writing %s: %s, from offset %llu on\n",
                   file_.name().c_str(), std::error_code(error_, std::system_category()).message().c_str(), offset);
    } catch (...) {  // no memory for the names
      std::fprintf(stderr, "asioq: a failure was not reported: writing: errno %d, from offset %llu on\n", error_,
                   offset);
    }
  }

  void prepare_as_failed(asio_request& request, std::byte* bytes, std::size_t count, std::uint64_t from) noexcept {
    request_record& record = request_access::record_of(request);
    record.op = asio_op::write;
    record.fd = file_.fd();
    record.data = bytes;
    record.length = count;
    record.offset = file_.is_stream() ? current_position : from;
    record.transferred = 0;
    record.error = error_;
  }

  int exceptions_before_;           // constant: exceptions that were unwinding when the writer was made
  std::size_t block_size_ = 0;      // constant: bytes in a block, unless it is adopted or has been reserved in
  std::size_t max_blocks_ = 1;      // constant until the end
  std::size_t most_in_flight_ = 1;  // constant until the end
  request_home* home_ = nullptr;    // of the queue's requests, once it is known

  std::size_t outstanding_ = 0;  // requests that are with the queue, of all kinds

  std::uint64_t extent_;            // the file's size, without what this writer has written
  std::uint64_t physical_end_ = 0;  // the end of what this writer has written, padding included
  std::uint64_t cut_from_ = 0;      // what that was before the cut that is in flight, if one is

  bool read_is_in_flight_ = false;

  accepting_call* turn_ = nullptr;  // the call that accepts
  std::size_t reserved_ = 0;        // bytes behind the current block's end, or aside, that the caller may be filling
  bool reserved_aside_ = false;
  asio_request aside_;
  bool wants_room_ = false;     // a call waits for a block
  bool lacks_request_ = false;  // the queue had no request the last time

  std::uint64_t flush_to_;     // what is wanted to be with the kernel
  bool wants_sync_ = false;    // a sync is to be submitted
  std::uint64_t sync_to_ = 0;  // then: once this has been submitted
  bool sync_is_in_flight_ = false;
  std::uint64_t sync_target_ = 0;  // what it makes durable
  std::uint64_t syncs_done_ = 0;
  bool has_synced_ = false;

  int error_ = 0;                      // an errno value; nothing is submitted while it is set
  bool is_told_ = false;               // the caller knows
  int sync_failed_ = 0;                // a sync has failed, and may have lost data
  int lost_ = 0;                       // and the writer no longer has them
  asio_op failed_op_ = asio_op::free;  // of the request that has failed, for messages; `free` if it was no request
  std::uint64_t failed_offset_ = 0;
  std::size_t failed_length_ = 0;
  asio_request failed_;  // itself, if it is not that of a block
  bool is_rewinding_ = false;

  bool is_closing_ = false;
  bool* closer_is_closing_ = nullptr;  // of the call that closes
  bool is_closed_ = false;
  bool may_submit_ = true;
  bool hurries_ = false;       // the cut does not wait
  bool is_abandoned_ = false;  // the writer is gone
  bool is_orphan_ = false;     // and requests were still with the queue
  bool is_serving_ = false;
  bool is_in_finished_ = false;
  waiting_calls calls_;
};

}  // namespace asioq::detail
