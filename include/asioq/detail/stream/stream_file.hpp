#pragma once

#include <asioq/detail/order/file_identity.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/stream/request_access.hpp>
#include <asioq/detail/support/refuse.hpp>
#include <asioq/detail/transfer/transfer.hpp>
#include <asioq/file.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/io_executor.hpp>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

namespace asioq::detail {

/// The facts of a descriptor, with its alignment, from the executor's engine or otherwise from the kernel. May block.
template <class Executor>
file_facts stream_facts(const Executor& executor, int fd) noexcept {
  if constexpr (is_choice_of_executors<Executor>) {
    if (!executor.valueless_by_exception())
      return std::visit([fd](const auto& chosen) noexcept { return stream_facts(chosen, fd); }, executor);
    return facts_of(fd);
  } else if constexpr (describes_files<Executor>) {
    return executor.describe(fd);
  } else {
    file_facts facts = facts_of(fd);
    if (!facts.is_stream && is_direct(::fcntl(fd, F_GETFL))) {
      const std::size_t alignment = direct_alignment_of(fd, false);
      facts.alignment = alignment == 0 ? largest_sector : alignment;
    }
    return facts;
  }
}

/// The offset of the file's end; 0 if it has no offsets. May block. Moves the position of a disk's descriptor for a
/// moment.
inline std::uint64_t end_of(const file_facts& facts, int fd) noexcept {
  if (facts.is_stream) return 0;
  if (facts.size != file_facts::unlimited) return facts.size;
  return static_cast<std::uint64_t>(std::max<off_t>(size_of_disk(fd), 0));
}

/// The facts of a descriptor. The size is at least what it will be when the queue has carried out all its requests,
/// including those through other descriptors of the same file.
template <class Queue>
file_facts facts_ahead(Queue& queue, int fd) noexcept {
  std::uint64_t end = 0;             // of what is written at an offset
  std::uint64_t more = 0;            // bytes that are written elsewhere, perhaps at the file's end
  std::optional<file_identity> own;  // of `fd`, once it is needed
  int last_fd = fd;
  bool is_same = true;
  bool appends = false;
  request_access::for_unfinished(queue, [&](const request_values& its) {
    if (!its.traits().writes) return;
    if (its.fd != last_fd) {
      const file_facts facts = stream_facts(queue.get_executor(), its.fd);
      last_fd = its.fd;
      appends = facts.appends;
      if (!own) own = stream_facts(queue.get_executor(), fd).identity;
      is_same = its.fd == fd || may_be_same(facts.identity, *own);
    }
    if (!is_same) return;
    if (its.at_position() || (appends && its.traits().transfers))
      more += its.length;
    else
      end = std::max(end, its.offset + its.length);
  });
  // Asked last, so that it has what finishes meanwhile.
  file_facts facts = stream_facts(queue.get_executor(), fd);
  if (facts.size != file_facts::unlimited) facts.size = std::max(facts.size, end) + more;
  return facts;
}

/// What a stream has to know of its file. Refers to the `file`, if there is one.
class stream_file {
 public:
  /// Throws `std::invalid_argument` if there is no descriptor, or if an aligned block does not fit into the buffers of
  /// the queue.
  template <class Queue>
  stream_file(const Queue& queue, const file& its) : stream_file(queue, its.fd(), &its) {}
  /// The same for a descriptor.
  template <class Queue>
  stream_file(const Queue& queue, int fd) : stream_file(queue, fd, nullptr) {}

  [[nodiscard]] int fd() const noexcept { return fd_; }
  /// Offsets mean nothing, so transfers are at the descriptor's own position.
  [[nodiscard]] bool is_stream() const noexcept { return facts_.is_stream; }
  /// Facts as they were when the stream was made.
  [[nodiscard]] const file_facts& facts() const noexcept { return facts_; }
  /// `end_of` the file, from those facts.
  [[nodiscard]] std::uint64_t end() const noexcept { return end_of(facts_, fd_); }
  /// What offsets and lengths of transfers must be multiples of; changes to 1 if the file switches to the page cache.
  [[nodiscard]] std::size_t alignment() const noexcept { return facts_.alignment; }
  /// The most bytes that one transfer can have with this alignment.
  [[nodiscard]] std::size_t block_size() const noexcept { return buffer_size_ - buffer_size_ % facts_.alignment; }

  /// Records that a transfer failed with `error`. Returns whether to repeat it, which is then through the page cache.
  /// `was_direct` is what `is_direct()` was when the transfer was submitted. Throws what `file::use_page_cache` throws.
  bool takes_page_cache_after(int error, bool was_direct) {
    if (error != EINVAL || !was_direct || file_ == nullptr) return false;
    if (file_->is_direct()) file_->use_page_cache();
    facts_.alignment = file_->alignment();
    return true;
  }
  /// Whether transfers bypass the page cache, as far as its `file` says.
  [[nodiscard]] bool is_direct() const noexcept { return file_ != nullptr && file_->is_direct(); }

  /// For messages.
  [[nodiscard]] std::string name() const {
    return file_ != nullptr ? file_->path().string() : "descriptor " + std::to_string(fd_);
  }

 private:
  template <class Queue>
  stream_file(const Queue& queue, int fd, const file* its)
      : file_(its), fd_(fd), buffer_size_(queue.options().buffer_size) {
    if (fd < 0) refuse("asioq: a stream of a file that is not open");
    facts_ = stream_facts(queue.get_executor(), fd);
    if (its != nullptr) facts_.alignment = its->alignment();
    facts_.alignment = std::max<std::size_t>(facts_.is_stream ? 1 : facts_.alignment, 1);
    if (buffer_size_ < facts_.alignment) refuse("asioq: the queue's buffer_size is less than the file's alignment");
  }

  const file* file_;  // null if there is only a descriptor
  int fd_;
  std::size_t buffer_size_;
  file_facts facts_;
};

}  // namespace asioq::detail
