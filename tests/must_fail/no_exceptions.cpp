// One message says which flag is wrong.
// wrong arguments: -fno-exceptions
// expect: asioq needs exceptions: compile without -fno-exceptions
#include <asioq/asioq.hpp>
#if __has_include(<liburing.h>)
#include <asioq/uring.hpp>
#endif
