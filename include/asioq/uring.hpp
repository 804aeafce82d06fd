#pragma once

/// @file
/// An executor on Linux's io_uring. Needs liburing (2.3 or later); the other headers do not.

#include <asioq/detail/support/requirements.hpp>

#if defined(__cpp_lib_jthread) && defined(__cpp_exceptions)

#include <asioq/asio_op.hpp>
#include <asioq/default_executor.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/detail/support/single_user.hpp>
#include <asioq/detail/transfer/uring_step.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/io_operation.hpp>
#include <asioq/operation.hpp>

#include <liburing.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>
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
    void start(io_operation& operation) const noexcept { context_->start(operation); }
    /// See `io_executor`. Throws `std::system_error` if the kernel refuses for good.
    void poll() const { context_->poll(); }
    /// See `io_executor`. Throws as `poll`.
    void wait_until(std::chrono::steady_clock::time_point deadline) const { context_->wait_until(deadline); }
    /// See `io_executor`. The kernel can end transfers of pipes, sockets and terminals, and what it has not begun.
    void cancel(io_operation& operation) const noexcept { context_->cancel(operation); }
    /// The ring's own descriptor; see `io_executor`. Submits what waits for submission. Throws as `poll`.
    [[nodiscard]] int native_handle() const { return context_->native_handle(); }
    /// See `io_executor`.
    void keep_readable(bool on) const noexcept { context_->keep_readable(on); }

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
  explicit uring_context(unsigned entries) {
    if (entries == 0 || entries > most_entries) detail::refuse("asioq: a ring has 1 to 32768 entries");
    if (const int error = set_up(entries); error != 0)
      throw std::system_error(error, std::system_category(), "asioq: cannot set up io_uring");
  }

  uring_context(const uring_context&) = delete;
  uring_context& operator=(const uring_context&) = delete;

  /// All its queues must be gone.
  ~uring_context() {
    take_answers_of_its_own();
    assert(outstanding_ == 0 && waiting_.empty() && refused_.empty());
    ::io_uring_queue_exit(&ring_);
  }

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
  static constexpr unsigned most_entries = 32768;  // the kernel's limit
  static constexpr unsigned batch = 8;
  static constexpr unsigned inline_batch = 64;
  static constexpr std::int64_t patience = 3;  // refusals of one operation before a pause or the owner's own call
  static constexpr auto shortest_pause = std::chrono::milliseconds{1};
  static constexpr int most_doublings = 6;  // of the pause

  int set_up(unsigned entries) noexcept {
    if (const int result = ::io_uring_queue_init(entries, &ring_, 0); result < 0) return -result;
    int error = EOPNOTSUPP;
    if (::io_uring_probe* probe = ::io_uring_get_probe_ring(&ring_)) {
      const auto supports = [&](int operation) { return ::io_uring_opcode_supported(probe, operation) != 0; };
      if (supports(IORING_OP_READ) && supports(IORING_OP_WRITE) && supports(IORING_OP_FSYNC)) error = 0;
      truncates_ = supports(detail::uring::op_truncate);
      ::io_uring_free_probe(probe);
    }
    // Waiting with a timeout, the file's position as an offset, and completions beyond the ring that are kept (Linux
    // 5.11, 5.6 and 5.5).
    constexpr unsigned needed = IORING_FEAT_EXT_ARG | IORING_FEAT_RW_CUR_POS | IORING_FEAT_NODROP;
    if ((ring_.features & needed) != needed) error = EOPNOTSUPP;
    // Where no thread is allowed for operations that may block for ever, Linux (6.18 for one) neither begins nor
    // cancels them. Two zeros ask for the limits and change nothing; kernels before 5.15 do not answer.
    unsigned limits[2] = {0, 0};
    if (error == 0 && ::io_uring_register_iowq_max_workers(&ring_, limits) == 0 && limits[1] == 0) error = EAGAIN;
    if (error != 0) ::io_uring_queue_exit(&ring_);
    return error;
  }

  void start(io_operation& operation) noexcept {
    const detail::single_user guard(completing_ ? nested_ : in_use_);
    waiting_.push(operation);
    const bool is_late = waiting_.size() >= (is_inline_ ? inline_batch : batch);
    const bool may_wait = is_inline_ && operation.op() == asio_op::read;
    // Errors are met again, and reported, by the next call that may throw.
    if (is_late || (outstanding_ == 0 && !may_wait)) submit();
  }

  /// Submits what waits, or as much of it as the kernel takes.
  int submit() noexcept {
    prepare();
    return enter();
  }

  /// Submits what is in the submission ring.
  int enter() noexcept {
    const int result = ::io_uring_submit(&ring_);
    is_inline_ = ::io_uring_cq_ready(&ring_) + ::io_uring_sq_ready(&ring_) == outstanding_;
    return result;
  }

  void poll() {
    const detail::single_user guard(in_use_);
    while (!refused_.empty()) waiting_.push(refused_.pop());
    prepare();
    if (::io_uring_sq_ready(&ring_) > 0) detail::uring::check(enter());
    take_completions();
    remind();
  }

  void wait_until(std::chrono::steady_clock::time_point deadline) {
    const detail::single_user guard(in_use_);
    wait_for_completions(deadline);
    remind();
  }

  void cancel(io_operation& operation) noexcept {
    const detail::single_user guard(in_use_);
    operation.result = detail::uring::cut_short;
    has_cut_short_ = true;
    // In vain if the kernel does not have it.
    if (::io_uring_sqe* const entry = next_entry()) {
      ::io_uring_prep_cancel(entry, &operation, 0);
      submit_own(*entry);
    }
  }

  int native_handle() {
    const detail::single_user guard(in_use_);
    // Inside a delivery the call that delivers submits.
    if (!waiting_.empty() || ::io_uring_sq_ready(&ring_) > 0) detail::uring::check(submit());
    remind();
    return ring_.ring_fd;
  }

  void keep_readable(bool on) noexcept {
    on ? ++readers_ : --readers_;
    if (!completing_) remind();  // else the call that completes does it
  }

  /// Makes the ring's descriptor readable if it has to be, and else lets nothing of its own make it so.
  void remind() noexcept {
    sort_out();
    const bool has_to_be = readers_ > 0 || !refused_.empty() || !cut_short_.empty();
    if (!has_to_be) take_answers_of_its_own();
    if (!has_to_be || ::io_uring_cq_ready(&ring_) > 0) return;
    if (::io_uring_sqe* const entry = next_entry()) {
      ::io_uring_prep_nop(entry);
      submit_own(*entry);
    }
  }

  /// Submits an operation of the context's own, which is complete at once.
  void submit_own(::io_uring_sqe& entry) noexcept {
    ::io_uring_sqe_set_data(&entry, nullptr);
    ++outstanding_;
    enter();
  }

  /// Takes in what the context's own operations have left at the head of the completion ring.
  void take_answers_of_its_own() noexcept {
    ::io_uring_cqe* completion = nullptr;
    while (::io_uring_peek_cqe(&ring_, &completion) == 0 && completion != nullptr) {
      if (::io_uring_cqe_get_data(completion) != nullptr) return;
      ::io_uring_cqe_seen(&ring_, completion);
      --outstanding_;
    }
  }

  /// Finds the operations that have been cancelled before the kernel had them.
  void sort_out() noexcept {
    if (!std::exchange(has_cut_short_, false)) return;
    waiting_.move_cut_short(cut_short_);
    refused_.move_cut_short(cut_short_);
  }

  void wait_for_completions(std::chrono::steady_clock::time_point deadline) {
    if (take_completions() || (!refused_.empty() && retry_refused(deadline))) return;
    prepare();
    if (is_inline_) {
      // What the kernel carries out within the call is complete after it, so no second system call has to wait for
      // that.
      detail::uring::check(submit());
      if (take_completions()) return;
      prepare();
    }
    if (!refused_.empty()) return;  // perhaps nothing is in the kernel, and the wait would have no end
    if (!waiting_.empty()) {
      // The ring is full and the kernel took nothing from it. No long wait: what the kernel has may depend on the rest,
      // as a read of a pipe depends on a write to it.
      detail::uring::check(submit());
      pause(deadline, shortest_pause);
      return;
    }
    int result = 0;
    if (deadline == std::chrono::steady_clock::time_point::max()) {
      result = ::io_uring_submit_and_wait(&ring_, 1);
    } else {
      ::io_uring_cqe* completion = nullptr;
      __kernel_timespec left = detail::uring::time_left(deadline);
      result = ::io_uring_submit_and_wait_timeout(&ring_, &completion, 1, &left, nullptr);
    }
    detail::uring::check(result);
    // The kernel took no submission now, and so it has not waited.
    if (!take_completions() && (result == -EAGAIN || result == -EBUSY)) pause(deadline, shortest_pause);
  }

  /// Sleeps until `deadline`, for `longest`, or until the kernel completes an operation. Submits nothing.
  void pause(std::chrono::steady_clock::time_point deadline, std::chrono::milliseconds longest) noexcept {
    ::io_uring_cqe* completion = nullptr;
    __kernel_timespec left = detail::uring::time_left(std::min(deadline, std::chrono::steady_clock::now() + longest));
    ::io_uring_wait_cqe_timeout(&ring_, &completion, &left);
  }

  /// Puts waiting operations into the submission ring, and submits what is there if it is full.
  void prepare() noexcept {
    sort_out();
    while (!waiting_.empty()) {
      ::io_uring_sqe* const entry = next_entry();
      if (entry == nullptr) return;
      detail::uring::describe(*entry, waiting_.pop(), truncates_);
      ++outstanding_;
    }
  }

  /// A free place in the submission ring; null if there is none and the kernel takes nothing.
  ::io_uring_sqe* next_entry() noexcept {
    if (::io_uring_sqe* const entry = ::io_uring_get_sqe(&ring_)) return entry;
    enter();
    return ::io_uring_get_sqe(&ring_);
  }

  /// For a call that blocks: submits what the kernel has refused often once more, after a pause. If the owner may carry
  /// out one of these operations, it does so instead of the pause. Returns whether an operation was completed.
  bool retry_refused(std::chrono::steady_clock::time_point deadline) noexcept {
    const bool may_block = std::chrono::steady_clock::now() < deadline;
    io_operation* own = nullptr;
    detail::uring::operation_list later;
    std::int64_t most_refusals = patience;
    while (!refused_.empty()) {
      io_operation& operation = refused_.pop();
      if (!may_block || !detail::uring::is_for_owner(operation)) {
        most_refusals = std::max(most_refusals, operation.result);
        waiting_.push(operation);
      } else if (own == nullptr) {
        own = &operation;
      } else {
        later.push(operation);
      }
    }
    refused_ = later;
    if (own == nullptr) {
      const auto doublings = static_cast<int>(std::min<std::int64_t>(most_refusals - patience, most_doublings));
      pause(deadline, shortest_pause * (1 << doublings));
    }
    prepare();
    submit();  // an error is met again, and reported, by the next call that may throw
    if (own == nullptr) return take_completions();
    const std::int64_t result = perform(*own);
    completing_ = true;
    complete(*own, result);
    completing_ = false;
    return true;
  }

  /// Completes what the kernel has completed, including what did not fit the completion ring. Returns whether anything
  /// was completed. New operations may be started meanwhile.
  bool take_completions() noexcept {
    bool any = false;
    ::io_uring_cqe* completion = nullptr;
    completing_ = true;
    sort_out();
    for (; !cut_short_.empty(); any = true) complete(cut_short_.pop(), -ECANCELED);
    while (::io_uring_peek_cqe(&ring_, &completion) == 0 && completion != nullptr) {
      auto* const data = static_cast<io_operation*>(::io_uring_cqe_get_data(completion));
      const std::int32_t result = completion->res;
      ::io_uring_cqe_seen(&ring_, completion);
      --outstanding_;
      if (data == nullptr) continue;  // the context's own
      io_operation& operation = *data;
      if (detail::uring::is_refusal(operation, result)) {
        (++operation.result < patience ? waiting_ : refused_).push(operation);
      } else {
        if (detail::uring::is_at_position(operation)) detail::uring::mend_position(operation, result);
        complete(operation, is_left_to_owner(operation, result) ? perform(operation) : result);
        any = true;
      }
    }
    completing_ = false;
    return any;
  }

  /// Whether the owner has to carry out the operation, because the kernel has no such operation on rings, or because
  /// the file system has none, for which posix_fallocate(3) has an answer.
  [[nodiscard]] bool is_left_to_owner(const io_operation& operation, std::int32_t result) const noexcept {
    if (operation.op() == asio_op::truncate) return !truncates_;
    return operation.op() == asio_op::allocate && result == -EOPNOTSUPP;
  }

  static void complete(io_operation& operation, std::int64_t result) noexcept {
    operation.result = 0;
    operation.complete(result);
  }

  ::io_uring ring_{};
  detail::uring::operation_list
      waiting_;  // started, and not in the submission ring; `result` counts the kernel's refusals
  detail::uring::operation_list refused_;    // refused `patience` times or more, and not submitted again since
  detail::uring::operation_list cut_short_;  // cancelled before the kernel had them
  unsigned outstanding_ = 0;                 // in the submission ring or the kernel, the context's own included
  unsigned readers_ = 0;                     // see keep_readable()
  bool truncates_ = false;                   // constant: the kernel has op_truncate
  bool is_inline_ = false;                   // the kernel completed the last submission before the call returned
  bool has_cut_short_ = false;               // cancelled operations may be in the first two lists
  bool completing_ = false;                  // an operation is being completed, which may start others
  detail::single_user_flag in_use_ = false;
  detail::single_user_flag nested_ = false;  // for start() while completing_, when in_use_ is set
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
