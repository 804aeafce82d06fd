// What queues take from operator new.
#include <asioq/asioq.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "groups.hpp"
#include "support/allocations.hpp"
#include "support/null_device.hpp"
#include "support/queue_on.hpp"

namespace bench {
namespace {

constexpr std::size_t block = 4096;
constexpr std::size_t write_backs = 16;

/// Bytes for each of a thousand queues that have been used once, but those of the buffer. What has been freed again
/// counts too.
double memory_of_a_queue() {
  constexpr std::size_t queues = 1000;
  const null_device out;
  const asioq::asio_queue first({.buffer_size = block});  // so that the common pool is there
  std::vector<std::unique_ptr<asioq::asio_queue>> all(queues);
  const std::size_t before = allocated().bytes;
  for (auto& queue : all) {
    queue = std::make_unique<asioq::asio_queue>(asioq::queue_options{.buffer_size = block});
    write_back_all(*queue, out.fd(), 1);
  }
  const std::size_t bytes = allocated().bytes - before - queues * block;
  return static_cast<double>(bytes) / queues;
}

/// Allocations by ten thousand requests after a thousand others.
template <class Place>
double allocations_of_warm_queue(asioq::execution_order order) {
  const null_device out;
  queue_on<Place> its({.buffer_size = block, .max_writebacks = write_backs, .order = order});
  write_back_all(its.queue, out.fd(), 1'000);
  const std::size_t before = allocated().times;
  write_back_all(its.queue, out.fd(), 10'000);
  const std::size_t made = allocated().times - before;
  return static_cast<double>(made);
}

}  // namespace

void add_memory(table& rows) {
  rows.add_count("bytes",
                 {.name = "memory/idle_queue",
                  .work = "memory of an idle queue without its buffers",
                  .subject = "asio_queue",
                  .goal = 2048},
                 memory_of_a_queue);
  const auto add = [&]<class Place>(const char* name, const char* who, asioq::execution_order order, Place* /*tag*/) {
    rows.add_count("allocations",
                   {.name = std::string("memory/warm_") + name,
                    .work = "10000 write-backs through a queue that is warm",
                    .subject = who,
                    .goal = 0},
                   [order] { return allocations_of_warm_queue<Place>(order); });
  };
  using asioq::execution_order;
  add("default", "asio_queue", execution_order::strict, static_cast<default_pool*>(nullptr));
  add("pool", "asioq, 4 threads, as if serial", execution_order::as_if_serial, static_cast<pool_of<4>*>(nullptr));
  if (asioq::uring_context::available())
    add("uring", "asioq, io_uring, as if serial", execution_order::as_if_serial, static_cast<ring*>(nullptr));
}

}  // namespace bench
