#include <asioq/asioq.hpp>

#include "catch.hpp"
#include "requests.hpp"

using namespace asioq_test;

TEST_CASE("the inline executor runs a task inside execute", "[inline_executor]") {
  bool done = false;
  const asioq::inline_executor executor;
  executor.execute(asioq::task([](void* flag) noexcept { *static_cast<bool*>(flag) = true; }, &done));
  CHECK(done);
  CHECK(executor == asioq::inline_executor{});
}

TEST_CASE("a queue on the inline executor works on the caller's thread alone", "[inline_executor][queue]") {
  const descriptor file = temp_file();
  asioq::basic_asio_queue<asioq::inline_executor> queue{asioq::inline_executor{}, {.buffer_size = 4096}};
  queue.submit(write_back_of(queue, file, "now", 0));
  CHECK(contents(file) == "now");
  CHECK(queue.running_requests() == 0);
  CHECK(queue.running_writebacks() == 0);
}
