// In the place of the header of this name: what an event loop waits for is a point of a schedule, too.
#pragma once

#include <cstddef>

#include <asioq/detail/support/sync.hpp>

namespace asioq::detail {

class event {
 public:
  event() noexcept { newest_ = this; }
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event() {
    if (newest_ == this) newest_ = nullptr;
  }

  [[nodiscard]] int descriptor() const noexcept { return 0; }

  void signal() noexcept {
    life_.check("signal");
    asioq_explorer::schedule::point("signal", this);
    life_.check("signal");
    is_readable_ = true;
    ++signals_;
    asioq_explorer::schedule::point("after it", this);
  }

  bool drain() noexcept {
    life_.check("drain");
    asioq_explorer::schedule::point("drain", this);
    const bool was_readable = is_readable_;
    is_readable_ = false;
    return was_readable;
  }

  [[nodiscard]] bool is_readable() const noexcept { return is_readable_; }
  /// How often it was signalled.
  [[nodiscard]] std::size_t signals() const noexcept { return signals_; }
  /// The last that was made; null if that is gone.
  static event* newest() noexcept { return newest_; }

 private:
  static inline event* newest_ = nullptr;
  explored_life life_;
  bool is_readable_ = false;
  std::size_t signals_ = 0;
};

inline void wait_for_either(int /*first*/, int /*second*/) noexcept {}

}  // namespace asioq::detail
