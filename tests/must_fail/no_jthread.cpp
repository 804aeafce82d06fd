// One message says which flag is missing.
// right arguments: -fexperimental-library
// expect: asioq needs std::jthread: compile with -fexperimental-library
#include <asioq/asioq.hpp>
#if __has_include(<liburing.h>)
#include <asioq/uring.hpp>
#endif
