#pragma once

#include <asioq/detail/request_block.hpp>
#include <asioq/detail/transfer.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace asioq::detail {

/// One request, or several that continue each other in the same file: these are carried out by one system call, which
/// is worth much for small transfers to devices. What comes of each is the same as one by one; they finish together.
///
/// Merged are reads with reads and writes with writes, each beginning where the one before ends, by their offsets or at
/// the file's own position, on disks and on regular files that have blocks on one. Elsewhere, and in files that the
/// kernel only makes look like regular ones, the boundaries may mean something, or a part may have to be seen before
/// the rest can be transferred. Not merged are writes to a descriptor with O_SYNC or O_DSYNC, where each has to be on
/// the disk before the next begins. What the call leaves undone, be it for an error or the end of the file, is then
/// done request by request: so errors and lengths are those of each.
class batch {
 public:
  /// `unmerged`, -1 at first, is for batches to remember a descriptor whose requests are not merged.
  batch(request_block& first, int& unmerged) noexcept : unmerged_(unmerged), bytes_(first.length) {
    requests_[0] = &first;
  }

  /// The requests, oldest first.
  [[nodiscard]] std::span<request_block* const> requests() const noexcept { return std::span(requests_).first(count_); }

  /// Whether the request continues the last one, and there is room for it.
  [[nodiscard]] bool can_take(const request_block& block) const noexcept {
    const request_block& last = *requests_[count_ - 1];
    if (count_ == most || block.fd != last.fd || last.is_sync() || block.is_sync()) return false;
    if (block.is_write() != last.is_write() || block.ends_hold) return false;
    if (last.length == 0 || block.length == 0 || bytes_ + block.length > most_bytes) return false;
    if (last.offset == current_position ? block.offset != current_position : block.offset != last.offset + last.length)
      return false;
    return count_ > 1 || may_merge_with(block);
  }

  void take(request_block& block) noexcept {
    requests_[count_++] = &block;
    bytes_ += block.length;
  }

  /// Carries out all. Each one's `error` and `transferred` are 0 before.
  void perform() noexcept {
    ssize_t transferred = count_ > 1 ? transfer() : 0;
    for (request_block* const block : requests()) {
      const ssize_t part = std::min(transferred, static_cast<ssize_t>(block->length));
      transferred -= part;
      std::size_t from = 0;
      if (part > 0 && !advance(*block, from, part)) continue;
      while (advance(*block, from, ask(*block, from))) {
      }
    }
  }

 private:
  /// What depends on the file alone, and has to be asked for.
  [[nodiscard]] bool may_merge_with(const request_block& block) const noexcept {
    if (block.fd == unmerged_) return false;
    struct stat status;
    if (::fstat(block.fd, &status) != 0) return false;
    const bool is_regular = S_ISREG(status.st_mode);
    if (is_regular && status.st_blocks == 0) return false;                                        // not yet
    const bool is_synchronous = block.is_write() && (::fcntl(block.fd, F_GETFL) & O_DSYNC) != 0;  // O_SYNC contains it
    if ((is_regular || S_ISBLK(status.st_mode)) && !is_synchronous) return true;
    unmerged_ = block.fd;  // if the number means another file one day, that is not merged, which does no harm
    return false;
  }

  static constexpr std::size_t most = 64;  // requests
  /// More would not be faster, and keep the first one waiting.
  static constexpr std::size_t most_bytes = std::size_t{256} * 1024;

  /// Asks the kernel for all; blocks. Returns how many bytes it has transferred.
  [[nodiscard]] ssize_t transfer() const noexcept {
    std::array<iovec, most> parts;
    std::ranges::transform(requests(), parts.begin(),
                           [](const request_block* block) { return iovec{block->buffer, block->length}; });
    const request_block& first = *requests_[0];
    const int count = static_cast<int>(count_);
    const auto offset = static_cast<off_t>(first.offset);
    ssize_t answer = 0;
    if (first.offset == current_position)
      answer = first.is_write() ? ::writev(first.fd, parts.data(), count) : ::readv(first.fd, parts.data(), count);
    else
      answer = first.is_write() ? ::pwritev(first.fd, parts.data(), count, offset)
                                : ::preadv(first.fd, parts.data(), count, offset);
    return std::max<ssize_t>(answer, 0);  // why it has failed is found out for each
  }

  int& unmerged_;
  std::array<request_block*, most> requests_;  // the first count_
  std::size_t count_ = 1;
  std::size_t bytes_ = 0;
};

}  // namespace asioq::detail
