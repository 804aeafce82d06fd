#pragma once

#include <asioq/detail/request/record.hpp>
#include <asioq/detail/support/sync.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace asioq::detail {

/// The part of a queue that carries out its requests. All members are for the queue's owner.
class dispatcher {
 public:
  dispatcher(const dispatcher&) = delete;
  dispatcher& operator=(const dispatcher&) = delete;

  /// How many of the submitted requests have finished, counted from the oldest. The owner may touch these again and
  /// read their results.
  [[nodiscard]] std::uint64_t finished() const noexcept { return finished_.load(std::memory_order_acquire); }

  /// Takes a prepared request, until `finished()` covers it. If this throws, the request has not been taken.
  virtual void submit(request_record& record) = 0;

  /// Does what is due without blocking, so that requests go on while the owner does not wait. Throws what the executor
  /// throws.
  virtual void poll(std::uint64_t submitted) = 0;

  /// Blocks until `finished()` has reached `target`, or a request has failed since `finished()` was equal to `seen`.
  /// May return early.
  virtual void await(std::uint64_t seen, std::uint64_t target) noexcept = 0;

  /// As `await`, but returns at the deadline and never carries out a request. The owner has called `poll` before.
  virtual void await_until(std::uint64_t seen, std::uint64_t target,
                           std::chrono::steady_clock::time_point deadline) = 0;

  /// Ends what has not begun, as far as it can without blocking: all that is outstanding has been cancelled, from
  /// `oldest` on, linked by `next_later`. What has begun goes on, unless the executor can end that, too.
  virtual void cancel(request_record* oldest) noexcept = 0;

  /// A descriptor that can be waited for in an event loop, until the dispatcher goes. Throws `std::system_error`.
  virtual int native_handle() = 0;

  /// Makes the descriptor readable, or leaves it so. There must be one.
  virtual void set_readable() noexcept = 0;

  /// Makes the descriptor readable when `finished()` reaches `target` or a request fails. It is not readable before,
  /// unless the owner has to look for another reason. Begins what is due. Returns false if `finished()` is not `seen`:
  /// then the caller has to look again. There must be a descriptor.
  virtual bool watch(std::uint64_t submitted, std::uint64_t seen, std::uint64_t target) noexcept = 0;

  /// The queue goes, and everything submitted has finished. The caller must not use the dispatcher any more, which
  /// deletes itself when no other thread uses it.
  virtual void leave() noexcept = 0;

 protected:
  dispatcher() = default;
  virtual ~dispatcher() = default;

  /// See `finished()`. Never decreases. Each dispatcher says which party writes it.
  alignas(64) atomic<std::uint64_t> finished_ = 0;
};

}  // namespace asioq::detail
