// In the place of the header of this name: what an event loop waits for is a point of a schedule, too.
#pragma once

#include <array>
#include <asioq/detail/support/sync.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace asioq::detail {

class event {
 public:
  event() noexcept {
    while (all_[static_cast<std::size_t>(descriptor_)] != nullptr) ++descriptor_;
    all_[static_cast<std::size_t>(descriptor_)] = this;
  }
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event() { all_[static_cast<std::size_t>(descriptor_)] = nullptr; }

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  void signal() noexcept {
    life_.check("signal");
    // Now and then that of a worker takes until another party signals, too, or until nothing else can happen.
    ++signalling_;
    if (std::string_view(asioq_explorer::schedule::name()).starts_with("worker") &&
        asioq_explorer::schedule::choose(3) == 0)
      asioq_explorer::schedule::wait_until(
          "a slow signal", [](const void* its) { return static_cast<const event*>(its)->signalling_ > 1; }, this,
          asioq_explorer::schedule::now() + asioq_explorer::schedule::very_long);
    asioq_explorer::schedule::point("signal", this);
    life_.check("signal");
    ++value_;
    ++signals_;
    --signalling_;
    if (std::string_view(asioq_explorer::schedule::name()) != "owner") ++signals_by_others_;
    asioq_explorer::schedule::point("after it", this);
  }

  std::uint64_t drain() noexcept {
    life_.check("drain");
    asioq_explorer::schedule::point("drain", this);
    return std::exchange(value_, 0);
  }

  [[nodiscard]] bool is_readable() const noexcept { return value_ != 0; }
  /// How often it was signalled, and how often not by the owner's thread.
  [[nodiscard]] std::size_t signals() const noexcept { return signals_; }
  [[nodiscard]] std::size_t signals_by_others() const noexcept { return signals_by_others_; }

  /// The one that has this descriptor; null if there is none.
  static const event* at(int descriptor) noexcept { return all_[static_cast<std::size_t>(descriptor)]; }

 private:
  static inline std::array<event*, 8> all_{};
  explored_life life_;
  int descriptor_ = 0;
  std::uint64_t value_ = 0;  // as that of an eventfd
  std::size_t signals_ = 0;
  std::size_t signalling_ = 0;  // parties that are about to signal
  std::size_t signals_by_others_ = 0;
};

inline void wait_for_either(int first, int second) noexcept {
  const std::array<int, 2> both{first, second};
  asioq_explorer::schedule::sleep(
      "a readable descriptor",
      [](const void* its) {
        const auto& these = *static_cast<const std::array<int, 2>*>(its);
        return event::at(these[0])->is_readable() || event::at(these[1])->is_readable();
      },
      &both);
}

}  // namespace asioq::detail
