#pragma once

// These checks are in one place, so that one message says what is missing instead of hundreds of errors. A header that
// includes this one leaves out its own contents under the opposite of these conditions. (Only C++20 and later have
// __cpp_lib_jthread.)

#if __has_include(<version>)
#include <version>
#endif

#if __cplusplus < 202002L
#error "asioq needs C++20: compile with -std=c++20"
#elif !defined(__cpp_exceptions)
#error "asioq needs exceptions: compile without -fno-exceptions"
#elif !defined(__cpp_lib_jthread) && defined(_LIBCPP_VERSION)
#error "asioq needs std::jthread: compile with -fexperimental-library (libc++ 19 or later)"
#elif !defined(__cpp_lib_jthread)
#error "asioq needs std::jthread: take a newer standard library, such as that of g++ 12"
#endif
