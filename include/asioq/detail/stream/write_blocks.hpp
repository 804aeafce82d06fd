#pragma once

#include <asioq/detail/stream/block_ring.hpp>
#include <asioq/detail/stream/stream_file.hpp>
#include <asioq/request.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace asioq::detail {

/// The bytes that a writer has accepted and keeps: where they are, and how far they have got. Does no I/O.
///
/// WHERE THE BYTES ARE
///
/// The accepted bytes are in blocks, in the order of their offsets: `blocks_`, and after them `current_`, which is
/// being filled. `blocks_` has three parts, in this order:
///
///   [0, returned_)           were submitted and have come back
///   [returned_, submitted_)  are with the queue
///   [submitted_, size)       have yet to be submitted
///
/// Requests come back in the order of their submission, so the result of a write always belongs to block `returned_`.
/// The first block leaves once it is written (or durable, with `keeps_until_durable_`). So after a failure everything
/// that is not written is still here, in order.
///
/// DIRECT FILES
///
/// If the alignment is more than 1, each transfer begins and ends at a multiple of it. A unit that is not full is
/// *padded*: with zeros past the file's end, otherwise with what the file has there, which has to be read first. The
/// next block begins with a copy of such a unit (`edge_`) and writes it again. The queue keeps the two in order, since
/// they overlap.
class write_blocks {
 protected:
  write_blocks(const stream_file& its, std::uint64_t start, bool keeps_until_durable)
      : file_(its),
        keeps_until_durable_(keeps_until_durable),
        position_(start),
        written_(start),
        durable_(start),
        submitted_end_(start) {
    if (!is_direct()) return;
    for (unit_image* image : {&edge_, &old_, &mark_}) image->bytes.resize(file_.alignment());
  }
  ~write_blocks() = default;

  /// The beginning of a unit of a direct file, or all of it.
  struct unit_image {
    std::vector<std::byte> bytes;
    std::uint64_t base = 0;
    std::size_t known = 0;  // bytes
  };

  [[nodiscard]] bool is_direct() const noexcept { return file_.alignment() > 1; }
  [[nodiscard]] std::uint64_t unit_of(std::uint64_t offset) const noexcept {
    return offset - offset % file_.alignment();
  }
  [[nodiscard]] std::uint64_t end_of_unit(std::uint64_t offset) const noexcept {
    return unit_of(offset + file_.alignment() - 1);
  }

  // Filling

  /// A call begins to accept, and may yet undo that.
  void begin_turn() noexcept {
    turn_start_ = position_;
    mark_is_due_ = is_direct();
    mark_.known = 0;
  }

  void begin_block_in(asio_request&& request, std::byte* bytes, std::size_t most) noexcept {
    const std::uint64_t base = unit_of(position_);
    current_ = {};
    current_.request = std::move(request);
    current_.bytes = bytes;
    current_.capacity = current_.most = most;
    current_.base = base;
    current_.begin = current_.end = current_.sent = position_;
    has_current_ = true;
    if (base != position_) copy_beginning();
  }

  /// Copies into the current block the part of its first unit that is before the position.
  void copy_beginning() noexcept {
    const std::uint64_t base = current_.base;
    const auto part = static_cast<std::size_t>(position_ - base);
    if (edge_.base == base && edge_.known >= part) {
      std::memcpy(current_.bytes, edge_.bytes.data(), part);
      return;
    }
    // The previous block may still be here, with bytes that the file does not have yet.
    current_.missing = position_;
    for (std::size_t i = blocks_.size(); i-- > 0;) {
      const write_block& before = blocks_[i];
      if (before.is_dropped) continue;
      if (before.end != position_ || before.base > base) return;
      std::memcpy(current_.bytes, before.at(base), part);
      current_.missing = before.missing > base ? before.missing : 0;
      return;
    }
  }

  void accept_in_current(std::size_t count) noexcept {
    current_.end += count;
    position_ += count;
  }

  [[nodiscard]] bool current_is_full() const noexcept { return has_current_ && current_.room() == 0; }
  [[nodiscard]] bool current_is_clean() const noexcept { return !has_current_ || current_.sent == current_.end; }

  void push_current() noexcept {
    if (std::exchange(mark_is_due_, false)) save(mark_, current_, turn_start_);
    has_current_ = false;
    if (current_.begin == current_.end) {
      current_.request = {};
      return;
    }
    blocks_.push_back(std::move(current_));
    if (blocks_.back().sent != blocks_.back().end) return;
    // It had come back, like all blocks before it, and has received no bytes since.
    blocks_.back().is_written = true;
    ++returned_;
    ++submitted_;
    let_go();
  }

  /// Keeps what a block has of the unit that contains `end`, up to `end`.
  void save(unit_image& image, const write_block& block, std::uint64_t end) const noexcept {
    image.base = unit_of(end);
    image.known = static_cast<std::size_t>(end - image.base);
    if (end < block.begin || end > block.end || block.missing > image.base) image.known = 0;
    if (image.known != 0) std::memcpy(image.bytes.data(), block.at(image.base), image.known);
  }

  /// Undoes the acceptance of everything from `to` on, which is before the position.
  void drop_from(std::uint64_t to) noexcept {
    position_ = to;
    if (has_current_ && current_.begin >= to) {
      has_current_ = false;
      current_.request = {};
    } else if (has_current_) {
      cut_back(current_, to);
    }
    for (std::size_t i = blocks_.size(); i-- > 0;) {
      write_block& its = blocks_[i];
      if (its.end <= to) break;
      if (its.begin < to) {
        cut_back(its, to);
      } else if (i >= submitted_) {
        blocks_.pop_back();
      } else {
        its.is_dropped = true;
      }
    }
    for (std::uint64_t* its : {&written_, &durable_, &submitted_end_}) *its = std::min(*its, to);
    if (!has_current_ && !mark_is_due_) std::swap(edge_, mark_);
  }

  static void cut_back(write_block& its, std::uint64_t to) noexcept {
    its.end = to;
    its.sent = std::min(its.sent, to);
    its.padded = 0;
  }

  // Padding

  /// Keeps the unit in which the current block ends, for the block that follows.
  void keep_edge() noexcept {
    if (!is_direct() || current_.end % file_.alignment() == 0) return;
    edge_.base = unit_of(current_.end);
    edge_.known = file_.alignment();
    std::memcpy(edge_.bytes.data(), current_.at(edge_.base), edge_.known);
  }

  /// Fills the block's last unit with what the file has there. Returns false if that is not known.
  bool pads_with_known(write_block& its) noexcept {
    const std::uint64_t base = unit_of(its.end);
    const auto part = static_cast<std::size_t>(its.end - base);
    const auto known = [&](const unit_image& image) { return image.base == base && image.known == file_.alignment(); };
    if (!known(edge_) && !known(old_)) return false;
    const unit_image& image = known(edge_) ? edge_ : old_;
    std::memcpy(its.at(its.end), image.bytes.data() + part, file_.alignment() - part);
    its.padded = its.end;
    return true;
  }

  /// The same at the end of the file.
  void pad_with_zeros(write_block& its) noexcept {
    std::memset(its.at(its.end), 0, static_cast<std::size_t>(end_of_unit(its.end) - its.end));
    its.padded = its.end;
  }

  /// A unit was read from the file, or what the file has of it.
  void take_in_unit(std::uint64_t base, std::span<const std::byte> data) noexcept {
    old_.base = base;
    old_.known = file_.alignment();
    std::memcpy(old_.bytes.data(), data.data(), data.size());
    std::memset(old_.bytes.data() + data.size(), 0, old_.known - data.size());
    const auto fill = [&](write_block& its) {
      if (its.base != old_.base || its.missing <= its.base) return;
      std::memcpy(its.bytes, old_.bytes.data(), static_cast<std::size_t>(its.missing - its.base));
      its.missing = 0;
    };
    for (std::size_t i = submitted_; i < blocks_.size(); ++i) fill(blocks_[i]);
    if (has_current_) fill(current_);
  }

  // Requests

  [[nodiscard]] std::size_t in_flight() const noexcept { return submitted_ - returned_; }

  /// The request of a block that is here, for an operation that does not touch its buffer. Empty if none is here.
  asio_request lend() noexcept {
    if (has_current_ && current_.request) return std::move(current_.request);
    for (std::size_t i = 0; i < returned_; ++i)
      if (blocks_[i].request) return std::move(blocks_[i].request);
    return {};
  }

  /// Returns a request that `lend` gave.
  void give_back(asio_request& request) noexcept {
    const std::span<std::byte> buffer = request.buffer();
    const auto is_of = [&](const write_block& its) {
      return !its.request && its.bytes >= buffer.data() && its.bytes < buffer.data() + buffer.size();
    };
    if (has_current_ && is_of(current_)) {
      current_.request = std::move(request);
      return;
    }
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      if ((i >= returned_ && i < submitted_) || !is_of(blocks_[i])) continue;
      blocks_[i].request = std::move(request);
      return;
    }
  }

  // Letting go, and submitting again

  /// If the last block has room for more, it becomes the current one again.
  void reopen_last() noexcept {
    if (has_current_ || blocks_.empty() || returned_ != blocks_.size()) return;
    if (!blocks_.back().is_written || blocks_.back().is_dropped || blocks_.back().room() == 0) return;
    current_ = blocks_.pop_back();
    current_.is_written = false;
    has_current_ = true;
    --returned_;
    --submitted_;
  }

  void let_go() noexcept {
    while (returned_ != 0) {
      const write_block& its = blocks_.front();
      if (!its.is_dropped && !(its.is_written && (!keeps_until_durable_ || its.end <= durable_))) return;
      blocks_.pop_front();
      --returned_;
      --submitted_;
    }
  }

  /// Drops what was not accepted after all. Nothing is with the queue.
  void purge_dropped() noexcept {
    for (std::size_t left = blocks_.size(); left > 0; --left) {
      write_block its = blocks_.pop_front();
      if (!its.is_dropped) blocks_.push_back(std::move(its));
    }
  }

  /// The kernel may have dropped what was written since the last sync that succeeded. Returns false if some of that is
  /// not here any more; then it changes nothing.
  bool count_as_not_written() noexcept {
    std::uint64_t kept = has_current_ ? current_.begin : position_;
    if (!blocks_.empty()) kept = blocks_.front().begin;
    if (kept > durable_) return false;
    written_ = durable_;
    for (std::size_t i = 0; i < blocks_.size(); ++i) blocks_[i].is_written = false;
    if (has_current_) current_.sent = current_.begin;
    return true;
  }

  /// All blocks from the first one that is not written have yet to be submitted.
  void submit_again() noexcept {
    std::size_t first = 0;
    while (first < blocks_.size() && blocks_[first].is_written) ++first;
    for (std::size_t i = first; i < blocks_.size(); ++i) {
      blocks_[i].is_written = false;
      if (!file_.is_stream()) blocks_[i].sent = blocks_[i].begin;
    }
    returned_ = submitted_ = first;
    submitted_end_ = written_;
  }

  /// Calls `take(offset, bytes, request)` for each part of what is not written (or not durable), in order.
  template <class Take>
  void hand_out_blocks(Take& take) {
    std::uint64_t place = keeps_until_durable_ ? durable_ : written_;
    const auto hand_out_one = [&](write_block& its) {
      const std::uint64_t begin = std::max(place, its.begin);
      if (its.is_dropped || begin >= its.end) return;
      place = its.end;
      take(begin, std::span<std::byte>(its.at(begin), static_cast<std::size_t>(its.end - begin)),
           std::move(its.request));
    };
    while (!blocks_.empty()) {
      write_block its = blocks_.pop_front();
      hand_out_one(its);
    }
    if (has_current_) hand_out_one(current_);
  }

  void release_blocks() noexcept {
    blocks_ = {};
    returned_ = submitted_ = 0;
    has_current_ = false;
    current_ = {};
  }

  stream_file file_;
  bool keeps_until_durable_;  // constant

  block_ring blocks_;  // see above
  std::size_t returned_ = 0;
  std::size_t submitted_ = 0;
  write_block current_;
  bool has_current_ = false;

  std::uint64_t position_;       // the end of what is accepted
  std::uint64_t written_;        // everything before is with the kernel
  std::uint64_t durable_;        // everything before is durable
  std::uint64_t submitted_end_;  // the end of what has been submitted

  unit_image edge_;  // the unit in which the last flush ended
  unit_image old_;   // a unit as it was read
  unit_image mark_;  // the unit in which the turn has begun, if the block that has it was closed since
  bool mark_is_due_ = false;
  std::uint64_t turn_start_ = 0;  // where the call began that has its turn
};

}  // namespace asioq::detail
