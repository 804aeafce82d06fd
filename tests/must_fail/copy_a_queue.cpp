// A queue is not copied.
// expect: deleted
#include <asioq/asioq.hpp>

#ifdef CORRECTED
asioq::asio_queue& same(asioq::asio_queue& queue) { return queue; }
#else
asioq::asio_queue same(asioq::asio_queue& queue) { return queue; }
#endif
