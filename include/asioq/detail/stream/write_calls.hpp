#pragma once

#include <asioq/detail/stream/write_behind.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/request.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace asioq::detail {

// The calls of a writer that may have to wait: see waiting_calls.hpp.

class write_behind::write_call final : public accepting_call {
 public:
  write_call(write_behind& its, std::span<const std::byte> bytes) noexcept : accepting_call(its), rest_(bytes) {}
  bool goes_on() { return begins() && its_.accept(rest_) && ends(); }
  void result() const noexcept {}

 private:
  std::span<const std::byte> rest_;
};

class write_behind::put_call final : public accepting_call {
 public:
  put_call(write_behind& its, asio_request& block) : accepting_call(its), block_(block) {
    if (block) rest_ = block.data();
  }
  bool goes_on() {
    if (!begins()) return false;
    if (!rest_.empty()) {
      if (!has_begun_) is_copied_ = !its_.may_adopt(block_);
      has_begun_ = true;
      if (is_copied_ ? !its_.accept(rest_) : !its_.adopt(block_)) return false;
    }
    block_ = {};
    return ends();
  }
  void result() const noexcept {}

 private:
  asio_request& block_;
  std::span<const std::byte> rest_;
  bool has_begun_ = false;
  bool is_copied_ = false;
};

class write_behind::reserve_call final : public accepting_call {
 public:
  reserve_call(write_behind& its, std::size_t count) : accepting_call(its), count_(count) {
    if (count > its.file_.block_size()) refuse("asioq: reserve: more than a block");
  }
  bool goes_on() { return begins() && its_.reserve(count_, room_) && ends(); }
  [[nodiscard]] std::span<std::byte> result() const noexcept { return room_; }

 private:
  std::size_t count_;
  std::span<std::byte> room_;
};

/// A call that waits until what was accepted is written or durable.
class write_behind::settling_call {
 public:
  settling_call(const settling_call&) = delete;
  settling_call& operator=(const settling_call&) = delete;

  void has_to_go_on() noexcept { its_.drop_reservation(); }
  void check_that_it_will() const { its_.check_that_something_comes(); }
  void result() const noexcept {}

 protected:
  explicit settling_call(write_behind& its) noexcept : its_(its) {}
  ~settling_call() = default;

  /// Begins the call, unless it has begun. Returns whether it begins now.
  bool begins() {
    if (std::exchange(has_begun_, true)) return false;
    its_.check_open();
    its_.drop_reservation();
    target_ = its_.accepted();
    return true;
  }
  /// Returns whether the call is at its end: if `is_done`, unless the writer has failed. Throws the failure once the
  /// queue has no more requests of the writer.
  bool ends(bool is_done) {
    its_.throw_if_failed_and_settled();
    if (its_.error_ == 0 && is_done) return true;
    its_.check_not_closed();  // `hand_out` may have closed it
    return false;
  }

  write_behind& its_;
  std::uint64_t target_ = 0;

 private:
  bool has_begun_ = false;
};

class write_behind::flush_call final : public settling_call {
 public:
  explicit flush_call(write_behind& its) noexcept : settling_call(its) {}
  bool goes_on() {
    if (begins()) its_.want_flush(target_);
    its_.pump();
    return ends(its_.written_ >= target_);
  }
};

class write_behind::sync_call final : public settling_call {
 public:
  explicit sync_call(write_behind& its) noexcept : settling_call(its) {}
  bool goes_on() {
    if (begins()) syncs_ = its_.want_sync();
    its_.pump();
    if (!is_done() && its_.has_forgotten_sync()) {
      syncs_ = its_.want_sync();
      its_.pump();
    }
    return ends(is_done());
  }

 private:
  [[nodiscard]] bool is_done() const noexcept { return its_.syncs_done_ >= syncs_ && its_.durable_ >= target_; }

  std::uint64_t syncs_ = 0;
};

class write_behind::close_call final : public settling_call {
 public:
  explicit close_call(write_behind& its) noexcept : settling_call(its) {}
  /// If it ends early, for whatever reason, the writer stays open.
  ~close_call() {
    if (!is_closing_) return;
    its_.closer_is_closing_ = nullptr;
    its_.is_closing_ = its_.is_closed_;
  }
  bool goes_on() {
    if (its_.is_closed_) return true;
    if (begins()) {
      its_.begin_close();
      its_.closer_is_closing_ = &is_closing_;
      is_closing_ = true;
    }
    its_.pump();
    if (its_.keeps_until_durable_ && its_.durable_ < its_.position_ && its_.has_forgotten_sync()) {
      static_cast<void>(its_.want_sync());
      its_.pump();
    }
    if (!ends(its_.is_clean())) return false;
    its_.is_closed_ = true;
    its_.release();
    return true;
  }

 private:
  bool is_closing_ = false;  // false again if the writer has gone
};

}  // namespace asioq::detail
