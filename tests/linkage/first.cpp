#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "queues.hpp"

namespace linkage {

queue* make_queue(asioq_test::memory_log& log) {
  return new queue({.buffer_size = 512}, asioq_test::counting_allocator<std::byte>(log));
}

void destroy_queue(queue* old) { delete old; }

asioq::asio_request get_from(queue& its) { return its.get(); }

void fail_write_back(queue& its) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  asioq::asio_request request = its.get();
  request.prepare_write_back(full, 1, 0);
  its.submit(std::move(request));
  try {
    its.sync();
  } catch (...) {
    ::close(full);
    (void)its.wait();
    throw;
  }
}

asioq::default_executor default_of_first() { return {}; }

}  // namespace linkage
