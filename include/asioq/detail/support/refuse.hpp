#pragma once

#include <stdexcept>
#include <system_error>

namespace asioq::detail {

// Out of line and cold: the calls that check their arguments stay small.

[[noreturn, gnu::cold, gnu::noinline]] inline void refuse(const char* why) { throw std::invalid_argument(why); }

[[noreturn, gnu::cold, gnu::noinline]] inline void refuse(std::errc error, const char* why) {
  throw std::system_error(std::make_error_code(error), why);
}

}  // namespace asioq::detail
