// A request is in one place at a time: its handle moves, and is never copied.
// expect: deleted
#include <asioq/asioq.hpp>

#include <utility>

asioq::asio_request pass_on(asioq::asio_request& request) {
#ifdef CORRECTED
  return std::move(request);
#else
  return request;
#endif
}
