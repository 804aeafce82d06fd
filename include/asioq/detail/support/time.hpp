#pragma once

#include <chrono>

namespace asioq::detail {

/// The duration in other units, rounded up. Where it does not fit, the largest or smallest value there is. Zero if it
/// is not a number.
template <class To, class Rep, class Period>
constexpr To saturate(const std::chrono::duration<Rep, Period>& from) {
  using seconds = std::chrono::duration<double>;  // converts from all without overflow
  if (seconds(from) != seconds(from)) return To::zero();
  constexpr seconds margin{2};  // more than a double rounds off
  if (seconds(from) >= seconds(To::max()) - margin) return To::max();
  if (seconds(from) <= seconds(To::min()) + margin) return To::min();
  // In two parts: neither overflows, whatever the unit of `from` is.
  const auto whole = std::chrono::floor<std::chrono::seconds>(from);
  return std::chrono::ceil<To>(whole) + std::chrono::ceil<To>(from - whole);
}

/// The time from `now` to `end`, which is later. Where it does not fit, the longest there is.
template <class Clock, class Duration>
constexpr Duration time_between(const std::chrono::time_point<Clock, Duration>& now,
                                const std::chrono::time_point<Clock, Duration>& end) {
  const bool fits =
      now.time_since_epoch() >= Duration::zero() || end.time_since_epoch() <= Duration::max() + now.time_since_epoch();
  return fits ? end - now : Duration::max();
}

/// The steady clock's time after `timeout`, or the last that the clock has.
template <class Rep, class Period>
std::chrono::steady_clock::time_point time_after(const std::chrono::duration<Rep, Period>& timeout) {
  using clock = std::chrono::steady_clock;
  const clock::time_point now = clock::now();
  const auto rest = saturate<clock::duration>(timeout);
  return rest > clock::time_point::max() - now ? clock::time_point::max() : now + rest;
}

}  // namespace asioq::detail
