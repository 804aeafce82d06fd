#pragma once

/// @file
/// An executor on Linux's io_uring. Needs liburing (2.3 or later); the other headers do not.

#include <asioq/detail/support/requirements.hpp>

#if defined(__cpp_lib_jthread) && defined(__cpp_exceptions)

#include <asioq/default_executor.hpp>
#include <asioq/detail/transfer/uring_ring.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/io_operation.hpp>

#include <chrono>
#include <optional>
#include <system_error>
#include <variant>

namespace asioq {

/// Carries out the file operations of its queues through Linux's io_uring, without a thread of the program.
///
/// **Order.** io_uring keeps no order; each queue keeps its own. A queue with `execution_order::strict` has one
/// operation in the kernel at a time. Use `as_if_serial` to have up to `max_in_flight`. Queues may share a context.
/// What one of them has in the kernel, such as reads of empty pipes, never keeps operations of another one out of it.
///
/// **When operations begin.** An operation begins at once if the kernel has none of this context. Otherwise the context
/// submits several with one system call, when 8 are waiting or when one of its queues waits or polls. Early submission
/// gains nothing while the kernel completes every operation inside that call, as it does from the page cache. Until
/// that changes the context waits for 64 operations, and a read does not begin at once. The context takes in
/// completions only inside calls of the owner (`poll`, `run_one`, the waits, `sync`, a `submit` that has to wait). What
/// they unblock begins there.
///
/// **Cancelled operations.** The kernel cancels an operation that needs one of the kernel's own threads if it cannot
/// start one (RLIMIT_NPROC, a pids cgroup), and operations of a thread that exits. The user never sees this: the next
/// call of the owner submits the operation again. After three attempts, a call that blocks carries out syncs, and
/// transfers of regular files and block devices, with the ordinary system call. It may return after its deadline then.
/// `try_wait` never does this. Transfers of other files are submitted again until the kernel accepts them; a call that
/// waits for them sleeps between the attempts, at most 64 ms.
///
/// **Truncate and allocate.** If the kernel has no truncate on rings (before Linux 6.9), or the file system cannot
/// allocate, the context makes the ordinary system call, inside a call of the owner, `try_wait` included.
///
/// **Threads.** A context and all its queues are for one thread at a time (asserted where assertions are on). Nothing
/// is locked. Another thread may take over, and the first one may exit. Give each thread with queues its own context.
///
/// **Lifetime.** A context must outlive its queues. A buffer belongs to the kernel while its operation is there. Keep
/// descriptors open until their requests have come back, as on any executor, because an operation that is submitted
/// again or goes on after a short transfer looks the descriptor up again.
class uring_context {
 public:
  /// The handle that a queue takes: a pointer to the context.
  class executor_type {
   public:
    /// See `io_executor`. Never throws: an operation that the kernel does not take now is kept for the next call.
    void start(io_operation& operation) const noexcept { context_->ring_.start(operation); }
    /// See `io_executor`. Throws `std::system_error` if the kernel refuses for good.
    void poll() const { context_->ring_.poll(); }
    /// See `io_executor`. Throws as `poll`.
    void wait_until(std::chrono::steady_clock::time_point deadline) const { context_->ring_.wait_until(deadline); }
    /// See `io_executor`. The kernel can end transfers of pipes, sockets and terminals, and what it has not begun.
    void cancel(io_operation& operation) const noexcept { context_->ring_.cancel(operation); }
    /// The ring's own descriptor; see `io_executor`. Submits what waits for submission. Throws as `poll`.
    [[nodiscard]] int native_handle() const { return context_->ring_.native_handle(); }
    /// See `io_executor`.
    void keep_readable(bool on) const noexcept { context_->ring_.keep_readable(on); }

    bool operator==(const executor_type&) const = default;

   private:
    friend class uring_context;
    explicit executor_type(uring_context& context) noexcept : context_(&context) {}
    uring_context* context_;
  };

  /// Makes a submission ring of `entries`, from 1 to 32768. The kernel rounds it up to a power of two. It limits how
  /// many operations one system call submits, not how many the kernel has. Throws `std::invalid_argument` for any other
  /// number, and `std::system_error` if the kernel refuses: EPERM (forbidden by policy), ENOSYS or EOPNOTSUPP (kernel
  /// too old), ENOMEM (RLIMIT_MEMLOCK), EMFILE (no descriptor left), EAGAIN (RLIMIT_NPROC is 0, so that the kernel
  /// would never begin some operations).
  explicit uring_context(unsigned entries) : ring_(entries) {}

  uring_context(const uring_context&) = delete;
  uring_context& operator=(const uring_context&) = delete;

  /// All its queues must be gone.
  ~uring_context() = default;

  /// An executor that gives its operations to this context.
  [[nodiscard]] executor_type executor() noexcept { return executor_type{*this}; }

  /// Whether a context can be made here and now. Makes one to find out.
  [[nodiscard]] static bool available() noexcept {
    try {
      const uring_context trial(1);
      return true;
    } catch (...) {
      return false;
    }
  }

 private:
  detail::uring::ring ring_;
};

static_assert(io_executor<uring_context::executor_type>);

/// io_uring where it works, and the program's default pool elsewhere. The type of a queue does not depend on which it
/// is, nor do its results.
///
/// What `uring_context` demands about threads and lifetime, `uring_or_pool` demands whichever it uses.
class uring_or_pool {
 public:
  /// The handle that a queue takes.
  using executor_type = std::variant<uring_context::executor_type, default_executor>;

  /// Makes a ring as `uring_context` does. If that fails for any reason it takes a share in the default pool, and
  /// `entries` has no effect. Throws `std::invalid_argument` if `entries` is out of range, and what making the pool
  /// throws.
  explicit uring_or_pool(unsigned entries) {
    try {
      ring_.emplace(entries);
    } catch (const std::system_error& refusal) {
      reason_ = refusal.code();
      pool_.emplace();
    }
  }

  uring_or_pool(const uring_or_pool&) = delete;
  uring_or_pool& operator=(const uring_or_pool&) = delete;
  ~uring_or_pool() = default;

  /// An executor on the ring or the pool.
  [[nodiscard]] executor_type executor() noexcept {
    if (ring_) return ring_->executor();
    return *pool_;  // NOLINT(bugprone-unchecked-optional-access): see pool_
  }

  /// Whether it uses io_uring.
  [[nodiscard]] bool uses_uring() const noexcept { return ring_.has_value(); }
  /// Why it does not use io_uring; empty if it does.
  [[nodiscard]] std::error_code reason() const noexcept { return reason_; }

 private:
  std::optional<uring_context> ring_;
  std::optional<default_executor> pool_;  // if there is no ring
  std::error_code reason_;
};

}  // namespace asioq

#endif
