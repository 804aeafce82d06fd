#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/detail/support/single_user.hpp>
#include <asioq/detail/transfer/uring_step.hpp>
#include <asioq/io_operation.hpp>
#include <asioq/operation.hpp>

#include <liburing.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <system_error>
#include <utility>

namespace asioq::detail::uring {

/// What `uring_context` does; see there.
///
/// An operation waits in a list until it is submitted. It is then in the submission ring or the kernel, and counts as
/// outstanding, until its completion is taken in. The ring submits a few operations of its own, which count, too: one
/// that does nothing, so that the ring's descriptor is readable; one that lets a pause pass; and cancellations.
class ring {
 public:
  explicit ring(unsigned entries) {
    if (entries == 0 || entries > most_entries) refuse("asioq: a ring has 1 to 32768 entries");
    if (const int error = set_up(entries); error != 0)
      throw std::system_error(error, std::system_category(), "asioq: cannot set up io_uring");
  }

  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;

  ~ring() {
    drop_own_completions();
    assert(outstanding_ == own_ && waiting_.empty() && refused_.empty() && "a queue has outlived its uring_context");
    ::io_uring_queue_exit(&ring_);
  }

  void start(io_operation& operation) noexcept {
    const single_user guard(is_completing_ ? nested_ : in_use_);
    waiting_.push(operation);
    const bool is_late = waiting_.size() >= (is_inline_ ? inline_batch : batch);
    const bool may_wait = is_inline_ && operation.op() == asio_op::read;
    // Errors are met again, and reported, by the next call that may throw.
    if (is_late || (outstanding_ == own_ && !may_wait)) submit();
  }

  void poll() {
    const single_user guard(in_use_);
    const reminder at_end(*this);
    while (!refused_.empty()) waiting_.push(refused_.pop());
    prepare();
    if (::io_uring_sq_ready(&ring_) > 0) check(enter());
    take_completions();
  }

  void wait_until(std::chrono::steady_clock::time_point deadline) {
    const single_user guard(in_use_);
    const reminder at_end(*this);
    wait_for_completions(deadline);
  }

  void cancel(io_operation& operation) noexcept {
    const single_user guard(in_use_);
    operation.result = cut_short;
    has_cut_short_ = true;
    // Does nothing if the kernel does not have it.
    if (::io_uring_sqe* const entry = next_entry()) {
      ::io_uring_prep_cancel(entry, &operation, 0);
      submit_own(*entry);
    }
  }

  int native_handle() {
    const single_user guard(in_use_);
    const reminder at_end(*this);
    while (!waiting_.empty() || ::io_uring_sq_ready(&ring_) > 0) {
      check(submit());
      // What the kernel has completed makes the descriptor readable, and the call that takes it in submits the rest.
      if (::io_uring_cq_ready(&ring_) > 0) break;
      if (::io_uring_sq_ready(&ring_) > 0) pause(no_deadline, shortest_pause);  // the kernel is short of memory
    }
    return ring_.ring_fd;
  }

  void keep_readable(bool on) noexcept {
    on ? ++keepers_ : --keepers_;
    if (!is_completing_) remind();  // else the call that completes does it
  }

 private:
  static constexpr unsigned most_entries = 32768;  // the kernel's limit
  static constexpr unsigned batch = 8;
  static constexpr unsigned inline_batch = 64;
  static constexpr std::int64_t patience = 3;  // refusals of one operation before a pause or the owner's own call
  static constexpr auto shortest_pause = std::chrono::milliseconds{1};
  static constexpr int most_doublings = 6;  // of the pause
  static constexpr int most_attempts = 64;  // of an operation of the ring's own, before it is left for a later call
  static constexpr auto no_deadline = std::chrono::steady_clock::time_point::max();

  /// At the end of a call, however it ends.
  class reminder {
   public:
    explicit reminder(ring& its) noexcept : its_(its) {}
    reminder(const reminder&) = delete;
    reminder& operator=(const reminder&) = delete;
    ~reminder() { its_.remind(); }

   private:
    ring& its_;
  };

  int set_up(unsigned entries) noexcept {
    if (const int result = ::io_uring_queue_init(entries, &ring_, 0); result < 0) return -result;
    int error = EOPNOTSUPP;
    if (::io_uring_probe* probe = ::io_uring_get_probe_ring(&ring_)) {
      const auto supports = [&](int operation) { return ::io_uring_opcode_supported(probe, operation) != 0; };
      if (supports(IORING_OP_READ) && supports(IORING_OP_WRITE) && supports(IORING_OP_FSYNC)) error = 0;
      truncates_ = supports(op_truncate);
      ::io_uring_free_probe(probe);
    }
    // Waiting with a timeout, the file's position as an offset, and completions beyond the ring that are kept (Linux
    // 5.11, 5.6 and 5.5).
    constexpr unsigned needed = IORING_FEAT_EXT_ARG | IORING_FEAT_RW_CUR_POS | IORING_FEAT_NODROP;
    if ((ring_.features & needed) != needed) error = EOPNOTSUPP;
    // Where no thread is allowed for operations that may block forever, Linux (6.18 for one) neither begins nor
    // cancels them. Two zeros ask for the limits and change nothing; kernels before 5.15 do not answer.
    unsigned limits[2] = {0, 0};
    if (error == 0 && ::io_uring_register_iowq_max_workers(&ring_, limits) == 0 && limits[1] == 0) error = EAGAIN;
    if (error != 0) ::io_uring_queue_exit(&ring_);
    return error;
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

  /// Puts waiting operations into the submission ring, and submits what is there if it is full.
  void prepare() noexcept {
    collect_cut_short();
    while (!waiting_.empty()) {
      ::io_uring_sqe* const entry = next_entry();
      if (entry == nullptr) return;
      describe(*entry, waiting_.pop(), truncates_);
      ++outstanding_;
    }
  }

  /// A free place in the submission ring; null if there is none and the kernel takes nothing.
  ::io_uring_sqe* next_entry() noexcept {
    if (::io_uring_sqe* const entry = ::io_uring_get_sqe(&ring_)) return entry;
    enter();
    return ::io_uring_get_sqe(&ring_);
  }

  /// Finds the operations that have been cancelled before the kernel had them.
  void collect_cut_short() noexcept {
    if (!std::exchange(has_cut_short_, false)) return;
    waiting_.move_cut_short(cut_short_);
    refused_.move_cut_short(cut_short_);
  }

  /// Makes the ring's descriptor readable if it has to be, and else lets nothing of the ring's own make it so. If only
  /// operations are left that the kernel has refused often, it is readable after a pause, so that an event loop tries
  /// again and does not spin.
  void remind() noexcept {
    collect_cut_short();
    const bool has_to_be = keepers_ > 0 || !cut_short_.empty();
    if (!has_to_be) drop_own_completions();
    const bool has_to_be_later = !refused_.empty() && !has_alarm_;
    if ((!has_to_be && !has_to_be_later) || ::io_uring_cq_ready(&ring_) > 0) return;
    ::io_uring_sqe* const entry = next_entry();
    if (entry == nullptr) return;
    if (has_to_be) {
      ::io_uring_prep_nop(entry);
      submit_own(*entry);
      return;
    }
    has_alarm_ = true;
    ::io_uring_prep_timeout(entry, &alarm_after_, 0, 0);
    submit_own(*entry, &alarm_after_);
  }

  /// Submits an operation of the ring's own. `mark` tells its completion from others; null if that does not matter.
  void submit_own(::io_uring_sqe& entry, void* mark = nullptr) noexcept {
    ::io_uring_sqe_set_data(&entry, mark);
    ++outstanding_;
    ++own_;
    // The program may sleep on the ring's descriptor next, which only this may make readable. So no answer of the
    // kernel's counts but that it has taken the entry, unless it refuses for good.
    for (int refusals = 0; refusals < most_attempts;) {
      if (!may_go_on(enter())) ++refusals;
      if (::io_uring_sq_ready(&ring_) == 0 || ::io_uring_cq_ready(&ring_) > 0) return;
      pause(no_deadline, shortest_pause);  // the kernel is short of memory
    }
  }

  /// Whether the completion is of an operation of the ring's own. Takes that in.
  bool is_own(const ::io_uring_cqe& completion) noexcept {
    const void* const mark = ::io_uring_cqe_get_data(&completion);
    if (mark != nullptr && mark != &alarm_after_) return false;
    if (mark != nullptr) has_alarm_ = false;
    --own_;
    return true;
  }

  /// Takes in what the ring's own operations have left at the head of the completion ring.
  void drop_own_completions() noexcept {
    ::io_uring_cqe* completion = nullptr;
    while (::io_uring_peek_cqe(&ring_, &completion) == 0 && completion != nullptr && is_own(*completion)) {
      ::io_uring_cqe_seen(&ring_, completion);
      --outstanding_;
    }
  }

  void wait_for_completions(std::chrono::steady_clock::time_point deadline) {
    if (take_completions() || (!refused_.empty() && retry_refused(deadline))) return;
    prepare();
    if (is_inline_) {
      // What the kernel carries out within the call is complete after it, so no second system call has to wait for
      // that.
      check(submit());
      if (take_completions()) return;
      prepare();
    }
    if (!refused_.empty()) return;  // perhaps nothing is in the kernel, and the wait would have no end
    if (!waiting_.empty()) {
      // The ring is full and the kernel took nothing from it. No long wait: what the kernel has may depend on the rest,
      // as a read of a pipe depends on a write to it.
      check(submit());
      pause(deadline, shortest_pause);
      return;
    }
    int result = 0;
    if (deadline == no_deadline) {
      result = ::io_uring_submit_and_wait(&ring_, 1);
    } else {
      ::io_uring_cqe* completion = nullptr;
      __kernel_timespec left = time_left(deadline);
      result = ::io_uring_submit_and_wait_timeout(&ring_, &completion, 1, &left, nullptr);
    }
    check(result);
    // The kernel took no submission now, and so it has not waited.
    if (!take_completions() && (result == -EAGAIN || result == -EBUSY)) pause(deadline, shortest_pause);
  }

  /// Sleeps until `deadline`, for `longest`, or until the kernel completes an operation. Submits nothing.
  void pause(std::chrono::steady_clock::time_point deadline, std::chrono::milliseconds longest) noexcept {
    ::io_uring_cqe* completion = nullptr;
    __kernel_timespec left = time_left(std::min(deadline, std::chrono::steady_clock::now() + longest));
    ::io_uring_wait_cqe_timeout(&ring_, &completion, &left);
  }

  /// For a call that blocks: submits what the kernel has refused often once more, after a pause. If the owner may carry
  /// out one of these operations, it does so instead of the pause. Returns whether an operation was completed.
  bool retry_refused(std::chrono::steady_clock::time_point deadline) noexcept {
    const bool may_block = std::chrono::steady_clock::now() < deadline;
    io_operation* own = nullptr;
    operation_list later;
    std::int64_t most_refusals = patience;
    while (!refused_.empty()) {
      io_operation& operation = refused_.pop();
      if (!may_block || !is_for_owner(operation)) {
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
    is_completing_ = true;
    complete(*own, result);
    is_completing_ = false;
    return true;
  }

  /// Completes what the kernel has completed, including what did not fit the completion ring. Returns whether anything
  /// was completed. New operations may be started meanwhile.
  bool take_completions() noexcept {
    bool any = false;
    ::io_uring_cqe* completion = nullptr;
    is_completing_ = true;
    collect_cut_short();
    for (; !cut_short_.empty(); any = true) complete(cut_short_.pop(), -ECANCELED);
    while (::io_uring_peek_cqe(&ring_, &completion) == 0 && completion != nullptr) {
      const bool is_other = !is_own(*completion);
      auto* const operation = static_cast<io_operation*>(::io_uring_cqe_get_data(completion));
      const std::int32_t result = completion->res;
      ::io_uring_cqe_seen(&ring_, completion);
      --outstanding_;
      if (is_other) any = take(*operation, result) || any;
    }
    is_completing_ = false;
    return any;
  }

  /// Takes in what the kernel says of an operation. Returns whether it is complete.
  bool take(io_operation& operation, std::int32_t result) noexcept {
    if (is_refusal(operation, result)) {
      if (operation.result != cut_short) {
        (++operation.result < patience ? waiting_ : refused_).push(operation);
        return false;
      }
      result = -ECANCELED;
    }
    if (is_at_position(operation)) mend_position(operation, result);
    complete(operation, is_left_to_owner(operation, result) ? perform(operation) : result);
    return true;
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
  operation_list waiting_;      // not in the submission ring; `result` counts the kernel's refusals
  operation_list refused_;      // refused `patience` times or more, and not submitted again since
  operation_list cut_short_;    // cancelled before the kernel had them
  unsigned outstanding_ = 0;    // in the submission ring or the kernel
  unsigned own_ = 0;            // of these, the ring's own
  unsigned keepers_ = 0;        // see keep_readable()
  bool truncates_ = false;      // constant: the kernel has op_truncate
  bool is_inline_ = false;      // the kernel completed the last submission before the call returned
  bool has_alarm_ = false;      // the operation that lets a pause pass is outstanding
  bool has_cut_short_ = false;  // cancelled operations may be in the first two lists
  bool is_completing_ = false;  // an operation is being completed, which may start others
  __kernel_timespec alarm_after_{0, std::chrono::nanoseconds(8 * shortest_pause).count()};
  single_user_flag in_use_ = false;
  single_user_flag nested_ = false;  // for start() while is_completing_, when in_use_ is set
};

}  // namespace asioq::detail::uring
