#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "queues.hpp"

namespace linkage {

void use(queue& its) {
  const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  for (int i = 0; i < 100; ++i) {
    asioq::asio_request request = its.get();
    request.prepare_read(zero, 512, 0);
    its.submit(std::move(request));
    if (i % 3 == 0) (void)its.wait();
    if (i % 3 == 1) (void)its.wait_for(std::chrono::hours(1));
    if (i % 3 == 2) its.sync();
    (void)its.try_wait();
  }
  its.resume();
  ::close(zero);
}

void destroy_request(asioq::asio_request request) { request = {}; }

bool catches_write_back_error(queue& its) {
  try {
    fail_write_back(its);
  } catch (const asioq::write_back_error&) {
    return true;
  } catch (...) {
  }
  return false;
}

asioq::default_executor default_of_second() { return {}; }

}  // namespace linkage
