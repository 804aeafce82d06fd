// Queues on each kind of executor, with all that they need.
#pragma once

#include <asioq/asioq.hpp>
#include <asioq/uring.hpp>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace bench {

/// The program's default pool, which lives as long as a queue on it.
struct default_pool {
  using executor_type = asioq::default_executor;
  [[nodiscard]] executor_type executor() const { return {}; }
};

/// A pool of its own.
template <std::size_t Threads>
struct pool_of {
  using executor_type = asioq::thread_pool::executor_type;
  [[nodiscard]] executor_type executor() { return threads.executor(); }
  asioq::thread_pool threads{Threads};
};

/// No threads.
struct caller {
  using executor_type = asioq::inline_executor;
  [[nodiscard]] executor_type executor() const { return {}; }
};

/// An io_uring of its own.
struct ring {
  using executor_type = asioq::uring_context::executor_type;
  [[nodiscard]] executor_type executor() { return context.executor(); }
  asioq::uring_context context{256};
};

/// A queue on one of the above.
template <class Place, class Allocator = std::allocator<std::byte>>
struct queue_on {
  explicit queue_on(const asioq::queue_options& options, const Allocator& allocator = {})
      : queue(place.executor(), options, allocator) {}

  Place place;
  asioq::basic_asio_queue<typename Place::executor_type, Allocator> queue;
};

/// Throws unless everything was transferred.
inline void check(const asioq::asio_request& done) {
  if (done.error()) throw std::system_error(done.error(), "asioq");
  if (done.bytes_transferred() != done.length()) throw std::runtime_error("asioq: a short transfer");
}

}  // namespace bench
