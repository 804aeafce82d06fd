#pragma once

#include <cstddef>
#include <cstdint>

namespace asioq::testing::detail {

/// Random numbers that are the same on every machine and with every standard library: splitmix64. Source: Guy Steele,
/// Doug Lea, Christine Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; constants as in Sebastiano
/// Vigna's splitmix64.c (public domain).
class generator {
 public:
  explicit generator(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t operator()() noexcept {
    std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15U;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
    return mixed ^ (mixed >> 31U);
  }

  /// From 0 to `limit` - 1; 0 if that is nothing. The bias of the remainder does not matter for tests.
  std::uint64_t below(std::uint64_t limit) noexcept { return (*this)() % (limit == 0 ? 1 : limit); }

  /// True with this probability. Takes one number whatever the probability is, so that a change of one rate leaves the
  /// other choices of a run as they were.
  bool happens(double rate) noexcept { return static_cast<double>((*this)() >> 11U) * 0x1p-53 < rate; }

 private:
  std::uint64_t state_;
};

}  // namespace asioq::testing::detail
