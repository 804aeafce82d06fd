#pragma once

/// @file
/// An executor on Linux's io_uring. Needs liburing (2.3 or later); the other headers do not.

#include <asioq/detail/requirements.hpp>

#if defined(__cpp_lib_jthread) && defined(__cpp_exceptions)

#include <asioq/default_executor.hpp>
#include <asioq/detail/single_user.hpp>
#include <asioq/io_executor.hpp>

#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <variant>

namespace asioq {

/// A submission and a completion ring of the kernel's: file operations of queues on it run without any thread of theirs.
///
/// **Order.** io_uring has none; the queues restore it. With `execution_order::strict` a queue has one operation in the
/// kernel at a time; use `as_if_serial` to have many.
///
/// **When operations begin.** At once if the kernel has nothing to do; otherwise together with others, in one system call,
/// when 8 are waiting or when a queue on it waits or polls. While the kernel carries out everything within that call, as from
/// the page cache, beginning early gains nothing: then when 64 are waiting, and reads never at once. Completions are taken
/// in, and what they unblock begins, only in calls of the owner: `wait`, `try_wait`, `sync`, a `submit` that waits for room.
///
/// **Threads.** A context and all queues on it are for one thread at a time (asserted where assertions are on); nothing is
/// locked. If another thread takes over and the first one exits, the kernel cancels what that one had submitted; the
/// context submits it again. Use one context for each thread that has queues.
///
/// **Lifetime.** It must outlive its queues. While operations are in the kernel their buffers belong to it, and the kernel
/// holds its own reference to the open file: unlike on threads, closing the descriptor early does no harm once the
/// operation has begun.
class uring_context {
 public:
  /// What to give to a queue: a pointer to the context.
  class executor_type {
   public:
    /// See `io_executor`. Never throws: what does not fit the ring waits for its turn.
    void start(io_operation& operation) const noexcept { context_->start(operation); }
    /// See `io_executor`. Throws `std::system_error` if the kernel refuses for good.
    void poll() const { context_->poll(); }
    /// See `io_executor`. Throws as `poll`.
    void wait_until(std::chrono::steady_clock::time_point deadline) const { context_->wait_until(deadline); }

    bool operator==(const executor_type&) const = default;

   private:
    friend class uring_context;
    explicit executor_type(uring_context& context) noexcept : context_(&context) {}
    uring_context* context_;
  };

  /// A submission ring of `entries`, 1 to 32768, rounded up by the kernel to a power of two. Twice as many operations may be
  /// in the kernel; more wait in user space. Throws `std::invalid_argument` for any other number, and `std::system_error` if
  /// the kernel refuses: EPERM (forbidden by policy), ENOSYS or EOPNOTSUPP (kernel too old), ENOMEM (RLIMIT_MEMLOCK).
  explicit uring_context(unsigned entries) {
    if (entries == 0 || entries > most_entries) throw std::invalid_argument("asioq: a ring has 1 to 32768 entries");
    if (const int error = set_up(entries); error != 0)
      throw std::system_error(error, std::system_category(), "asioq: cannot set up io_uring");
  }

  uring_context(const uring_context&) = delete;
  uring_context& operator=(const uring_context&) = delete;

  /// All queues on it are gone.
  ~uring_context() {
    assert(outstanding_ == 0 && first_ == nullptr);
    ::io_uring_queue_exit(&ring_);
  }

  /// An executor that has operations carried out by this context.
  [[nodiscard]] executor_type executor() noexcept { return executor_type{*this}; }

  /// Whether a context can be made here and now, found out by making one.
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
  static constexpr std::int64_t most_repeats = 100;                   // of one operation; `result` counts them
  static constexpr std::size_t longest_step = std::size_t{1} << 30U;  // the kernel's length has 32 bits

  int set_up(unsigned entries) noexcept {
    if (const int result = ::io_uring_queue_init(entries, &ring_, 0); result < 0) return -result;
    int error = EOPNOTSUPP;
    if (::io_uring_probe* probe = ::io_uring_get_probe_ring(&ring_)) {
      const auto supports = [&](int operation) { return ::io_uring_opcode_supported(probe, operation) != 0; };
      if (supports(IORING_OP_READ) && supports(IORING_OP_WRITE) && supports(IORING_OP_FSYNC)) error = 0;
      ::io_uring_free_probe(probe);
    }
    // Waiting with a timeout, and the file's position as an offset (Linux 5.11 and 5.6).
    if ((ring_.features & IORING_FEAT_EXT_ARG) == 0 || (ring_.features & IORING_FEAT_RW_CUR_POS) == 0)
      error = EOPNOTSUPP;
    if (error != 0) ::io_uring_queue_exit(&ring_);
    return error;
  }

  void start(io_operation& operation) noexcept {
    const detail::single_user guard(completing_ ? nested_ : in_use_);
    operation.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &operation;
    last_ = &operation;
    prepare();
    const unsigned prepared = ::io_uring_sq_ready(&ring_);
    const bool is_late = prepared >= (is_inline_ ? inline_batch : batch);
    const bool may_wait = is_inline_ && operation.op() == asio_op::read;
    // Errors are met again, and reported, by the next call that may throw.
    if (is_late || (prepared == outstanding_ && !may_wait)) submit();
  }

  int submit() noexcept {
    const int result = ::io_uring_submit(&ring_);
    is_inline_ = ::io_uring_cq_ready(&ring_) + ::io_uring_sq_ready(&ring_) == outstanding_;
    return result;
  }

  void poll() {
    const detail::single_user guard(in_use_);
    prepare();
    if (::io_uring_sq_ready(&ring_) > 0) check(submit());
    take_completions();
  }

  void wait_until(std::chrono::steady_clock::time_point deadline) {
    const detail::single_user guard(in_use_);
    prepare();
    if (take_completions()) return;
    if (is_inline_) {
      // What is carried out within the call is complete after it: no second system call to wait for that.
      check(submit());
      if (take_completions()) return;
    }
    if (deadline == std::chrono::steady_clock::time_point::max()) {
      check(::io_uring_submit_and_wait(&ring_, 1));
    } else {
      const auto left =
          std::max(deadline - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration::zero());
      const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
      __kernel_timespec timeout{};
      timeout.tv_sec = seconds.count();
      timeout.tv_nsec = std::chrono::nanoseconds(left - seconds).count();
      ::io_uring_cqe* completion = nullptr;
      check(::io_uring_submit_and_wait_timeout(&ring_, &completion, 1, &timeout, nullptr));
    }
    take_completions();
  }

  /// Puts waiting operations into the submission ring, as long as both rings have room for them: so completions never
  /// overflow.
  void prepare() noexcept {
    while (first_ != nullptr && outstanding_ < *ring_.cq.kring_entries) {
      ::io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
      if (entry == nullptr) {
        submit();
        entry = ::io_uring_get_sqe(&ring_);
        if (entry == nullptr) return;
      }
      io_operation& operation = *first_;
      first_ = operation.next;
      describe(*entry, operation);
      ++outstanding_;
    }
  }

  static void describe(::io_uring_sqe& entry, io_operation& operation) noexcept {
    if (is_at_position(operation)) operation.place = ::lseek(operation.fd(), 0, SEEK_CUR);
    const auto length = static_cast<unsigned>(std::min(operation.buffer().size(), longest_step));
    switch (operation.op()) {
      case asio_op::read:
        ::io_uring_prep_read(&entry, operation.fd(), operation.buffer().data(), length, operation.offset());
        break;
      case asio_op::write:
      case asio_op::write_back:
        ::io_uring_prep_write(&entry, operation.fd(), operation.buffer().data(), length, operation.offset());
        break;
      case asio_op::fsync:
        ::io_uring_prep_fsync(&entry, operation.fd(), 0);
        break;
      case asio_op::fdatasync:
        ::io_uring_prep_fsync(&entry, operation.fd(), IORING_FSYNC_DATASYNC);
        break;
      case asio_op::free:
        ::io_uring_prep_nop(&entry);
        break;
    }
    ::io_uring_sqe_set_data(&entry, &operation);
  }

  /// Completes what the kernel has completed; returns whether anything was. New operations may be started meanwhile.
  bool take_completions() noexcept {
    bool any = false;
    io_operation* repeated = nullptr;  // linked by `next`; begun after the loop, which would have no end otherwise
    ::io_uring_cqe* completion = nullptr;
    completing_ = true;
    while (::io_uring_peek_cqe(&ring_, &completion) == 0 && completion != nullptr) {
      auto& operation = *static_cast<io_operation*>(::io_uring_cqe_get_data(completion));
      const std::int32_t result = completion->res;
      ::io_uring_cqe_seen(&ring_, completion);
      --outstanding_;
      any = true;
      if (must_repeat(operation, result) && ++operation.result < most_repeats) {
        operation.next = std::exchange(repeated, &operation);
      } else {
        operation.result = 0;
        if (is_at_position(operation)) mend_position(operation, result);
        operation.complete(result);
      }
    }
    while (repeated != nullptr) start(*std::exchange(repeated, repeated->next));
    completing_ = false;
    return any;
  }

  static bool is_at_position(const io_operation& operation) noexcept {
    return operation.offset() == current_position && !operation.buffer().empty();
  }

  /// If an error cuts a transfer at the file's position short, Linux (6.18 for one) tells of the bytes before the error, but
  /// leaves the position where it was: what comes next would be written over them.
  static void mend_position(const io_operation& operation, std::int32_t result) noexcept {
    if (result <= 0 || static_cast<std::size_t>(result) == operation.buffer().size() || operation.place < 0) return;
    if (::lseek(operation.fd(), 0, SEEK_CUR) != operation.place) return;
    const bool appends = operation.op() != asio_op::read && (::fcntl(operation.fd(), F_GETFL) & O_APPEND) != 0;
    ::lseek(operation.fd(), appends ? 0 : operation.place + result, appends ? SEEK_END : SEEK_SET);
  }

  /// Whether the kernel has not carried out the operation, for reasons that are none of the user's.
  static bool must_repeat(const io_operation& operation, std::int32_t result) noexcept {
    // Nobody asks for a cancellation: the thread that had submitted it has exited.
    if (result == -ECANCELED) return true;
    // Short of resources; on a descriptor with O_NONBLOCK it is the answer.
    return result == -EAGAIN && (::fcntl(operation.fd(), F_GETFL) & O_NONBLOCK) == 0;
  }

  /// Throws unless waiting or trying again can help: a signal, the time-out, or rings and memory that are full.
  static void check(int result) {
    if (result >= 0 || result == -EINTR || result == -ETIME || result == -EAGAIN || result == -EBUSY) return;
    throw std::system_error(-result, std::system_category(), "asioq: io_uring refuses to go on");
  }

  ::io_uring ring_{};
  io_operation* first_ = nullptr;  // started, and not yet in the submission ring: a list linked by `next`
  io_operation* last_ = nullptr;
  unsigned outstanding_ = 0;  // in the submission ring or the kernel; at most the size of the completion ring
  bool is_inline_ = false;    // all that was submitted last was completed before the call returned
  bool completing_ = false;   // inside take_completions()
  detail::single_user_flag in_use_ = false;
  detail::single_user_flag nested_ = false;  // for start() inside take_completions(), where in_use_ is set
};

static_assert(io_executor<uring_context::executor_type>);

/// io_uring if it works here, else the program's default pool: the queues have one type and behave the same.
///
/// What is said of `uring_context` about threads and lifetime goes for this, whichever it is: so a program that keeps to
/// it works with both.
class uring_or_pool {
 public:
  /// What to give to a queue.
  using executor_type = std::variant<uring_context::executor_type, default_executor>;

  /// A ring as `uring_context` makes it, or a share in the default pool if that fails for whatever reason (`entries` then has
  /// no effect). Throws `std::invalid_argument` if `entries` is out of range, and what making the pool throws.
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

  /// An executor on what there is.
  [[nodiscard]] executor_type executor() noexcept {
    if (ring_) return ring_->executor();
    return *pool_;  // NOLINT(bugprone-unchecked-optional-access): see pool_
  }

  /// Whether it is io_uring.
  [[nodiscard]] bool uses_uring() const noexcept { return ring_.has_value(); }
  /// Why it is not; empty if it is.
  [[nodiscard]] std::error_code reason() const noexcept { return reason_; }

 private:
  std::optional<uring_context> ring_;
  std::optional<default_executor> pool_;  // if there is no ring
  std::error_code reason_;
};

}  // namespace asioq

#endif
