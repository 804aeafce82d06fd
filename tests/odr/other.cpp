#include "queue_of_other.hpp"

#include <asioq/asioq.hpp>

asioq::asio_queue& queue_of_other() {
  static asioq::asio_queue queue{{.buffer_size = 4096}};
  return queue;
}
