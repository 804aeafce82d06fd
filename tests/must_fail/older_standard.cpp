// One message says which flag is missing.
// wrong arguments: -std=c++17
// expect: asioq needs C\+\+20: compile with -std=c\+\+20
#include <asioq/asioq.hpp>
#if __has_include(<liburing.h>)
#include <asioq/uring.hpp>
#endif
