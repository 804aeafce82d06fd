// submit() takes the request over, so the caller has to say that it gives it away.
// expect: cannot bind|deleted|no matching
#include <asioq/asioq.hpp>

#include <utility>

void give(asioq::asio_queue& queue, asioq::asio_request& request) {
#ifdef CORRECTED
  queue.submit(std::move(request));
#else
  queue.submit(request);
#endif
}
