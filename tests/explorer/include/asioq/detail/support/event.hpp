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
    // Now and then it takes long, so that another party signals meanwhile.
    if (asioq_explorer::schedule::choose(4) == 0)
      for (auto steps = asioq_explorer::schedule::choose(32); steps != 0; --steps) asioq_explorer::schedule::yield();
    asioq_explorer::schedule::point("signal", this);
    life_.check("signal");
    ++value_;
    ++signals_;
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
