#pragma once

#include <charconv>
#include <cstddef>
#include <string_view>
#include <system_error>

/// The argument as a number; 0 if it is not one, or is too large.
inline std::size_t number_in(std::string_view text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}
