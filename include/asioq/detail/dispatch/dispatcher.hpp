#pragma once

#include <asioq/detail/request/record.hpp>
#include <asioq/detail/support/sync.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace asioq::detail {

/// What a queue needs of the part that carries out its requests. All members are for the queue's owner.
class dispatcher {
 public:
  dispatcher(const dispatcher&) = delete;
  dispatcher& operator=(const dispatcher&) = delete;

  /// How many of the submitted requests have finished, in the order of their submission: the oldest ones. The owner
  /// may touch these again, and reads their results.
  [[nodiscard]] std::uint64_t finished() const noexcept { return finished_.load(std::memory_order_acquire); }

  /// Takes a prepared request until `finished()` covers it. If it throws, it has not taken it.
  virtual void submit(request_record& record) = 0;

  /// Does what is due without blocking, so that requests go on though nobody waits. Throws what the executor throws.
  virtual void poll(std::uint64_t submitted) = 0;

  /// Blocks until `finished()` has reached `target`, or a request has failed since it was `seen`. May return early.
  virtual void await(std::uint64_t seen, std::uint64_t target) noexcept = 0;

  /// The same after `poll`, but gives up at the deadline, and never carries out a request.
  virtual void await_until(std::uint64_t seen, std::uint64_t target,
                           std::chrono::steady_clock::time_point deadline) = 0;

  /// The queue goes; everything submitted has finished. The dispatcher is gone for the caller, and goes itself when it can.
  virtual void leave() noexcept = 0;

 protected:
  dispatcher() = default;
  virtual ~dispatcher() = default;

  /// See `finished()`; never decreases. Each dispatcher says which party writes it.
  alignas(64) atomic<std::uint64_t> finished_ = 0;
};

}  // namespace asioq::detail
