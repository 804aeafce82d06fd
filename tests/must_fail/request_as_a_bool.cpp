// A handle answers "empty?" in conditions only: it does not turn into a number.
// expect: cannot convert|no viable conversion
#include <asioq/asioq.hpp>

bool is_full(const asioq::asio_request& request) {
#ifdef CORRECTED
  return static_cast<bool>(request);
#else
  return request;
#endif
}
