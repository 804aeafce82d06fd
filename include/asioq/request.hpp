#pragma once

/// @file
/// The request handle: a buffer, what to do with it, and how it went.

#include <asioq/asio_op.hpp>
#include <asioq/detail/request/pool.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/fwd.hpp>
#include <asioq/options.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <system_error>
#include <utility>

namespace asioq {

namespace detail {
template <class Allocator>
class queue_core;
struct request_access;
}  // namespace detail

/// The owner of one request and its buffer while the queue does not have them; move-only, empty when moved from.
///
/// It comes from `get()` of a queue, is prepared, goes to `submit()` of the same queue and comes back from one of its
/// waits, or to its receiver. Destroying it recycles the buffer: on any thread, and also after the queue is gone (the
/// memory is freed then, with the queue's allocator, which must still work). One handle is for one thread at a time.
///
/// Every member that needs a request throws `std::invalid_argument` on an empty handle. None allocates; all are O(1).
class asio_request {
 public:
  /// An empty handle.
  asio_request() noexcept = default;
  asio_request(asio_request&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
  /// Recycles what it had.
  asio_request& operator=(asio_request&& other) noexcept {
    asio_request(std::move(other)).swap(*this);
    return *this;
  }
  /// Recycles what it has.
  ~asio_request() {
    if (record_ != nullptr) record_->home->give_back(*record_);
  }

  /// Exchanges what two handles have.
  void swap(asio_request& other) noexcept { std::swap(record_, other.record_); }

  /// Whether there is a request.
  explicit operator bool() const noexcept { return record_ != nullptr; }

  /// The whole buffer: `queue_options::buffer_size` bytes, aligned to `buffer_alignment`. Its content survives
  /// everything but a read; after `get()` it is unspecified.
  [[nodiscard]] std::span<std::byte> buffer() const { return {record().buffer, record().home->buffer_size()}; }

  /// Asks to read `length` bytes from `fd` into the start of the buffer.
  ///
  /// With an offset (in bytes from the start of the file), reading goes on until all is there, the file ends, or an
  /// error arises; the descriptor's position does not matter and does not move. At `current_position` the request has
  /// what one successful read(2) gave: pipes and terminals give what they have. End of file is success with fewer
  /// bytes, or none.
  ///
  /// The descriptor must stay open until the request has come back: the operation uses the number, whatever it then
  /// means. With O_DIRECT the file system wants `offset` and `length` aligned, to 4096 bytes to be safe.
  ///
  /// Throws `std::invalid_argument`, changing nothing, if `fd` is negative, `length` exceeds the buffer, or
  /// `offset + length` exceeds 2^63 - 1. Source: pread(2), read(2), open(2).
  void prepare_read(int fd, std::size_t length, std::uint64_t offset = current_position) {
    prepare_transfer(asio_op::read, fd, length, offset);
  }

  /// Asks to write the first `length` bytes of the buffer to `fd`, all of them unless an error arises. Otherwise as
  /// `prepare_read`. Source: pwrite(2), write(2).
  void prepare_write(int fd, std::size_t length, std::uint64_t offset = current_position) {
    prepare_transfer(asio_op::write, fd, length, offset);
  }

  /// As `prepare_write`, but on success the request recycles itself, and no wait returns it, unless it is submitted
  /// with a receiver. If it fails it comes back with its error and its data, and can be submitted again as it is.
  void prepare_write_back(int fd, std::size_t length, std::uint64_t offset = current_position) {
    prepare_transfer(asio_op::write_back, fd, length, offset);
  }

  /// Asks to make durable what this queue was given for the file before, and whatever else the file has: fsync(2).
  ///
  /// An fsync error is final: the kernel may have dropped the data and will call the next fsync a success. So every
  /// later fsync or fdatasync of the file through this queue reports the same error, until `resume()` says that the
  /// caller has dealt with it. Errors that say "not tried" or "cannot be synced", such as EAGAIN or EINVAL, lose
  /// nothing and do not last. A new file's directory entry needs an fsync of the directory.
  ///
  /// With `sync_barrier::none` it does not hold up the younger requests on the file, as if serial.
  void prepare_fsync(int fd, sync_barrier barrier = sync_barrier::full) { prepare_sync(asio_op::fsync, fd, barrier); }

  /// The same with fdatasync(2): without the metadata that reading does not need.
  void prepare_fdatasync(int fd, sync_barrier barrier = sync_barrier::full) {
    prepare_sync(asio_op::fdatasync, fd, barrier);
  }

  /// Asks to set the file's size to `size` bytes, in its place in the order: what is beyond is cut off, what is missing
  /// reads as zeros. `offset()` is the size. Throws `std::invalid_argument` if `fd` is negative or `size` exceeds
  /// 2^63 - 1. Source: ftruncate(2).
  void prepare_truncate(int fd, std::uint64_t size) {
    check_range(size, 0);
    prepare(asio_op::truncate, fd, 0, size);
  }

  /// Asks to reserve room for `length` bytes at `offset`, so that writing there does not fail for want of it. The file
  /// is at least that long afterwards, and keeps its contents. The request's buffer is not used, so `length` may exceed
  /// it. Throws as `prepare_write`, and `std::invalid_argument` if `length` is 0. Source: posix_fallocate(3).
  void prepare_allocate(int fd, std::size_t length, std::uint64_t offset) {
    if (length == 0) detail::refuse("asioq: prepare_allocate: the length is 0");
    check_range(offset, length);
    prepare(asio_op::allocate, fd, length, offset);
  }

  /// Asks to close the descriptor, after everything that was submitted for it before. What is submitted for it later
  /// names nothing, as after close(2), or another file that has got the number. A close that is cancelled has closed
  /// nothing. Source: close(2).
  void prepare_close(int fd) { prepare(asio_op::close, fd, 0, current_position); }

  /// Has the prepared transfer use the buffer from its byte `first` on, `length()` bytes, until the request is prepared
  /// anew; `data()` begins there, too. Throws `std::invalid_argument`, changing nothing, if that leaves the buffer or
  /// if no read or write is prepared.
  void use_from(std::size_t first) {
    detail::request_record& its = record();
    if (!its.traits().transfers) detail::refuse("asioq: no transfer is prepared in the request");
    const std::size_t size = its.home->buffer_size();
    if (first > size || its.length > size - first) detail::refuse("asioq: the transfer leaves the buffer");
    its.data = its.buffer + first;
    its.error = 0;
    its.transferred = 0;
  }

  /// Attaches a pointer of the caller's, which `user_data()` gives back until the request is recycled.
  void set_user_data(void* data) { record().user_data = data; }
  /// What `set_user_data` attached; null before.
  [[nodiscard]] void* user_data() const { return record().user_data; }

  /// How it went: empty on success and before the request has run, else an errno value in `std::system_category()`.
  /// `std::errc::operation_canceled` means that it was not carried out, or not to its end: see `failure_policy::hold`,
  /// `cancel()` of the queue, and `async_submission`.
  [[nodiscard]] std::error_code error() const { return {record().error, std::system_category()}; }
  /// Bytes transferred, also those before an error.
  [[nodiscard]] std::size_t bytes_transferred() const { return record().transferred; }
  /// The first `bytes_transferred()` bytes of the buffer, or of its part that `use_from` chose.
  [[nodiscard]] std::span<std::byte> data() const { return {record().data, record().transferred}; }

  /// What is prepared; `asio_op::free` if nothing is. It stays after the request has run.
  [[nodiscard]] asio_op op() const { return record().op; }
  /// The descriptor of the prepared operation; -1 if nothing is prepared.
  [[nodiscard]] int fd() const { return record().fd; }
  /// Bytes asked for; 0 if nothing is prepared, and for operations that concern no range.
  [[nodiscard]] std::size_t length() const { return record().length; }
  /// Where, in bytes from the start of the file, or `current_position`; for truncate, the size asked for.
  [[nodiscard]] std::uint64_t offset() const { return record().offset; }
  /// The number of its last submission in its queue, counted from 0.
  [[nodiscard]] std::uint64_t sequence() const { return record().sequence; }

 private:
  template <class Allocator>
  friend class detail::queue_core;
  template <class Queue>
  friend class async_submission;
  friend struct detail::request_access;

  explicit asio_request(detail::request_record& record) noexcept : record_(&record) {}

  [[nodiscard]] detail::request_record& record() const {
    if (record_ == nullptr) detail::refuse("asioq: the request handle is empty");
    return *record_;
  }

  static void check_range(std::uint64_t offset, std::uint64_t length) {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (offset > most || length > most - offset)
      detail::refuse("asioq: the offset is negative, or offset + length exceeds 2^63 - 1");
  }

  void prepare_transfer(asio_op op, int fd, std::size_t length, std::uint64_t offset) {
    if (length > record().home->buffer_size()) detail::refuse("asioq: the length exceeds the queue's buffer_size");
    if (offset != current_position) check_range(offset, length);
    prepare(op, fd, length, offset);
  }

  void prepare_sync(asio_op op, int fd, sync_barrier barrier) {
    prepare(op, fd, 0, current_position);
    record().can_be_passed = barrier == sync_barrier::none;
  }

  void prepare(asio_op op, int fd, std::size_t length, std::uint64_t offset) {
    detail::request_record& its = record();
    if (fd < 0) detail::refuse("asioq: the file descriptor is negative");
    its.op = op;
    its.fd = fd;
    its.data = its.buffer;
    its.length = length;
    its.offset = offset;
    its.error = 0;
    its.transferred = 0;
  }

  detail::request_record* record_ = nullptr;
};

/// Exchanges what two handles have.
inline void swap(asio_request& first, asio_request& second) noexcept { first.swap(second); }

}  // namespace asioq
