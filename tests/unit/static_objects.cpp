// A static object that is destroyed after everything that came later, with a queue in its destructor: the default pool
// has to be there for it. A program of its own, since this is about how programs end; a leak checker may look on.
#include <asioq/asioq.hpp>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "requests.hpp"

using namespace asioq_test;

namespace {

bool read_works() {
  const descriptor file = temp_file_with("abc");
  asioq::asio_queue queue{{.buffer_size = 512}};
  queue.submit(read_of(queue, file, 3, 0));
  return queue.wait_for(std::chrono::seconds(60)).bytes_transferred() == 3;
}

struct late_user {
  std::unique_ptr<asioq::asio_queue> kept;

  late_user() = default;
  late_user(const late_user&) = delete;
  late_user& operator=(const late_user&) = delete;
  ~late_user() {
    // With the pool that is there or, the second time, with a new one.
    for (int i = 0; i < 2; ++i) {
      if (!read_works()) {
        std::fputs("a queue does not work in the destructor of a static object\n", stderr);
        std::_Exit(1);
      }
      kept.reset();
    }
  }
};

late_user without_a_queue;
late_user with_a_queue;

}  // namespace

int main() {
  if (!read_works()) return 1;
  with_a_queue.kept = std::make_unique<asioq::asio_queue>();
  return 0;
}
