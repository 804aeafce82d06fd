#include "queue_of_other.hpp"

#include <asioq/asioq.hpp>

#include <iostream>
#include <utility>

int main() {
  const asioq::asio_queue mine;
  asioq::asio_queue& other = queue_of_other();

  // The default executor is one per program, not one per translation unit.
  if (mine.get_executor() != other.get_executor()) {
    std::cerr << "two default executors in one program\n";
    return 1;
  }

  // A request made by the code of one unit is driven by the code of the other.
  asioq::asio_request request = other.get();
  request.prepare_read(0, 0, 0);
  other.submit(std::move(request));
  return other.wait() ? 0 : 1;
}
