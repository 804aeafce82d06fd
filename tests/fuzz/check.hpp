// What a program does where something that must be true is not, and what it tells on its way.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

namespace asioq_fuzz {

/// Whether each step of a program is printed.
inline bool is_talkative = false;

template <class... Parts>
void note(const char* format, Parts... parts) {
  if (!is_talkative) return;
  if constexpr (sizeof...(parts) == 0)
    std::fputs(format, stderr);
  else
    std::fprintf(stderr, format, parts...);
  std::fputc('\n', stderr);
}

/// Ends the program in the way that fuzzers notice.
[[noreturn]] inline void broken(const std::string& what) {
  std::fprintf(stderr, "This must not be: %s\n", what.c_str());
  std::abort();
}

/// `what` says what must not be.
inline void must(bool condition, const char* what) {
  if (!condition) broken(what);
}

}  // namespace asioq_fuzz
