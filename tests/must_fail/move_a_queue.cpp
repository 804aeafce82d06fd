// A queue is not moved: its requests and its workers know where it is.
// expect: deleted
#include <asioq/asioq.hpp>

#include <utility>

#ifdef CORRECTED
asioq::asio_queue make() { return asioq::asio_queue{}; }
#else
asioq::asio_queue make() {
  asioq::asio_queue queue;
  return std::move(queue);
}
#endif
