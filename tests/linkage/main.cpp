// Passes a queue, its requests and its errors between two units, or shared objects, that are compiled differently.
#include <cstdlib>
#include <iostream>
#include <thread>
#include <utility>
#include <vector>

#include "queues.hpp"

namespace {

void check(bool is_right, const char* what) {
  if (is_right) return;
  std::cerr << what << '\n';
  std::exit(1);
}

}  // namespace

int main() {
  asioq_test::memory_log log;
  {
    linkage::queue* const queue = linkage::make_queue(log);
    linkage::use(*queue);
    std::vector<asioq::asio_request> kept(4);
    for (asioq::asio_request& request : kept) request = linkage::get_from(*queue);
    linkage::destroy_request(std::move(kept[0]));
    linkage::use(*queue);
    check(linkage::catches_write_back_error(*queue), "an exception of the first is another type in the second");
    linkage::destroy_queue(queue);
    check(log.live > 0, "requests are gone with their queue");
    std::thread(linkage::destroy_request, std::move(kept[1])).join();
    linkage::destroy_request(std::move(kept[2]));
    kept[3] = {};
    check(log.live == 0, "a request that outlives its queue is never freed");
  }
  const bool one_pool = linkage::default_of_first() == linkage::default_of_second();
#ifdef HIDDEN
  // As docs/how-to/use-in-your-build.md says.
  check(!one_pool, "shared objects with hidden visibility have one default pool");
#else
  check(one_pool, "two default pools in one program");
#endif
}
