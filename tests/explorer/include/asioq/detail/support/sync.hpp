// In the place of the header of this name: what threads share is made of points of a schedule. See
// tests/explorer/fibers.hpp.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <semaphore>
#include <string_view>
#include <type_traits>

#include "../../../../fibers.hpp"

namespace asioq::detail {

/// A program that sees this has got this header.
inline constexpr bool is_explored = true;

/// Small, so that short programs come to the end of a turn. Part of each program: see tests/explorer/explorer.cpp.
inline std::size_t requests_per_turn = 64;

/// A fiber stands for a thread.
using thread_id = const char*;
inline thread_id this_thread() noexcept { return asioq_explorer::schedule::name(); }

/// Whether something has been constructed and not destroyed: else it is not to be used.
class explored_life {
 public:
  explored_life() noexcept { ++count_; }
  explored_life(const explored_life&) = delete;
  explored_life& operator=(const explored_life&) = delete;
  ~explored_life() {
    state_ = gone;
    --count_;
  }

  void check(const char* what) const noexcept {
    if (state_ != alive)
      asioq_explorer::schedule::found("%s of an object that is gone (%p)", what, static_cast<const void*>(this));
  }

  /// How many there are.
  static std::size_t count() noexcept { return count_; }

 private:
  static constexpr std::uint64_t alive = 0x616c697665a51090U;
  static constexpr std::uint64_t gone = 0xdeaddeaddeaddeadU;
  static inline std::size_t count_ = 0;
  volatile std::uint64_t state_ = alive;  // volatile: what is stored by the destructor is read all the same
};

/// Sees each change of the word in which an owner says for what it waits on its descriptor: see wake, whose flag is the
/// only use of such high numbers.
struct explored_watch {
  static constexpr std::uint64_t nothing = ~std::uint64_t{0};
  static constexpr std::uint64_t by_descriptor = std::uint64_t{1} << 62U;
  static constexpr bool is_one(std::uint64_t word) noexcept { return word >= by_descriptor && word != nothing; }

  /// `is_taken`: by a party that is to make the descriptor readable, not by the owner.
  static inline void (*changed)(std::uint64_t from, std::uint64_t to, bool is_taken) = nullptr;
};

template <class T>
class atomic {
 public:
  atomic() noexcept = default;
  atomic(T value) noexcept : value_(value) {}  // NOLINT(google-explicit-constructor): as std::atomic

  T load(std::memory_order = std::memory_order_seq_cst) const noexcept {
    life_.check("load");
    asioq_explorer::schedule::point_of_read(this);
    life_.check("load");
    return value_;
  }
  operator T() const noexcept { return load(); }  // NOLINT(google-explicit-constructor): as std::atomic

  void store(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
    change("store", [&](T& its) { its = value; });
  }
  T operator=(T value) noexcept {
    store(value);
    return value;
  }
  T exchange(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
    return change("exchange", [&](T& its) { its = value; });
  }
  T fetch_add(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
    return change("fetch_add", [&](T& its) { its = static_cast<T>(its + value); });
  }
  T fetch_sub(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
    return change("fetch_sub", [&](T& its) { its = static_cast<T>(its - value); });
  }
  T fetch_and(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
    return change("fetch_and", [&](T& its) { its = static_cast<T>(its & value); });
  }
  T fetch_or(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
    return change("fetch_or", [&](T& its) { its = static_cast<T>(its | value); });
  }
  T fetch_xor(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
    return change("fetch_xor", [&](T& its) { its = static_cast<T>(its ^ value); });
  }

  /// May fail though the values are the same.
  bool compare_exchange_weak(T& expected, T desired, std::memory_order = std::memory_order_seq_cst,
                             std::memory_order = std::memory_order_seq_cst) noexcept {
    return compare_exchange(expected, desired, asioq_explorer::schedule::choose(16) == 0);
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order = std::memory_order_seq_cst,
                               std::memory_order = std::memory_order_seq_cst) noexcept {
    return compare_exchange(expected, desired, false);
  }

 private:
  /// Two points: others may come in before it, and before whatever it makes them free to do is touched again.
  template <class Change>
  T change(const char* what, Change its_change) noexcept {
    life_.check(what);
    asioq_explorer::schedule::point(what, this);
    life_.check(what);
    const T old = value_;
    its_change(value_);
    if constexpr (std::is_same_v<T, std::uint64_t>)
      if (old != value_ && (explored_watch::is_one(old) || explored_watch::is_one(value_)))
        if (explored_watch::changed != nullptr)
          explored_watch::changed(old, value_, std::string_view(what) == "compare_exchange");
    asioq_explorer::schedule::point("after it", this);
    return old;
  }

  bool compare_exchange(T& expected, T desired, bool fails) noexcept {
    const T wanted = expected;
    bool was_same = false;
    expected = change("compare_exchange", [&](T& its) {
      was_same = !fails && its == wanted;
      if (was_same) its = desired;
    });
    return was_same;
  }

  explored_life life_;
  T value_{};
};

class mutex {
 public:
  mutex() noexcept = default;
  ~mutex() {
    if (is_locked_) asioq_explorer::schedule::found("a locked mutex is destroyed");
  }

  void lock() noexcept {
    life_.check("lock");
    asioq_explorer::schedule::wait(
        "lock", [](const void* its) { return !static_cast<const mutex*>(its)->is_locked_; }, this);
    life_.check("lock");
    is_locked_ = true;
  }
  bool try_lock() noexcept {
    life_.check("try_lock");
    asioq_explorer::schedule::point("try_lock", this);
    life_.check("try_lock");
    if (is_locked_) return false;
    is_locked_ = true;
    return true;
  }
  void unlock() noexcept {
    life_.check("unlock");
    asioq_explorer::schedule::point("unlock", this);
    is_locked_ = false;
    asioq_explorer::schedule::point("after it", this);
  }

 private:
  explored_life life_;
  bool is_locked_ = false;
};

/// Ends with as many permits as it has begun with: whatever is released is acquired, and the other way round.
class counting_semaphore {
 public:
  static constexpr std::ptrdiff_t max() noexcept { return std::numeric_limits<std::ptrdiff_t>::max(); }

  explicit counting_semaphore(std::ptrdiff_t permits) noexcept : permits_(permits), at_first_(permits) {}
  ~counting_semaphore() {
    if (permits_ != at_first_)
      asioq_explorer::schedule::found("a semaphore ends with %td permits; it began with %td", permits_, at_first_);
  }

  void acquire() noexcept {
    life_.check("acquire");
    asioq_explorer::schedule::sleep("acquire", has_one, this);
    take();
  }
  bool try_acquire() noexcept {
    life_.check("try_acquire");
    asioq_explorer::schedule::point("try_acquire", this);
    if (permits_ == 0) return false;
    take();
    return true;
  }
  /// Fails at any time before, as the schedule likes.
  template <class Duration>
  bool try_acquire_until(const std::chrono::time_point<std::chrono::steady_clock, Duration>& deadline) noexcept {
    life_.check("try_acquire_until");
    const auto at = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch()).count();
    if (!asioq_explorer::schedule::wait_until("try_acquire_until", has_one, this, static_cast<std::uint64_t>(at)))
      return false;
    take();
    return true;
  }
  template <class Rep, class Period>
  bool try_acquire_for(const std::chrono::duration<Rep, Period>& timeout) noexcept {
    return try_acquire_until(std::chrono::steady_clock::now() + timeout);
  }
  void release(std::ptrdiff_t count = 1) noexcept {
    life_.check("release");
    asioq_explorer::schedule::point("release", this);
    life_.check("release");
    permits_ += count;
    asioq_explorer::schedule::point("after it", this);
  }

 private:
  static bool has_one(const void* its) { return static_cast<const counting_semaphore*>(its)->permits_ > 0; }
  void take() noexcept {
    life_.check("acquire");
    --permits_;
  }

  explored_life life_;
  std::ptrdiff_t permits_;
  std::ptrdiff_t at_first_;
};

}  // namespace asioq::detail
