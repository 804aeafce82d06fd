#pragma once

#include <asioq/detail/request/record.hpp>
#include <asioq/detail/transfer/transfer.hpp>
#include <asioq/operation.hpp>

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace asioq::detail {

/// One request, or several that continue each other in the same file. Several are carried out by one system call, which
/// makes small transfers to disks much faster. Each has the result it would have alone, and they finish together.
///
/// Reads are merged with reads and writes with writes. Each begins where the one before ends, by their offsets or at
/// the file's own position, in files where `merging` allows it. What the call leaves undone, because of an error or at
/// the end of the file, is then done request by request, so each has its own error and length.
class batch {
 public:
  static constexpr std::size_t most = 64;  // requests

  explicit batch(request_record& first) noexcept : bytes_(first.length) { requests_[0] = &first; }

  /// The requests, oldest first.
  [[nodiscard]] std::span<request_record* const> requests() const noexcept {
    return std::span(requests_).first(count_);
  }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

  /// Whether the request continues the last one, as far as that is known without a system call, and there is room for
  /// it.
  [[nodiscard]] bool is_continued_by(const request_record& record) const noexcept {
    const request_record& last = *requests_[count_ - 1];
    if (record.fd != last.fd || count_ == most || bytes_ + record.length > most_bytes) return false;
    const operation_traits& traits = record.traits();
    if (!traits.transfers || traits.writes != last.traits().writes || !last.traits().transfers) return false;
    if (last.length == 0 || record.length == 0) return false;
    return last.at_position() ? record.at_position() : record.offset == last.offset + last.length;
  }

  void take(request_record& record) noexcept {
    requests_[count_++] = &record;
    bytes_ += record.length;
  }

  /// Carries out all requests, which must be more than one, each with `error` and `transferred` of 0. Returns whether
  /// all succeeded.
  bool perform() noexcept {
    bool succeeded = true;
    std::int64_t transferred = transfer();
    for (request_record* const record : requests()) {
      const std::int64_t part = std::min(transferred, static_cast<std::int64_t>(record->length));
      transferred -= part;
      std::size_t from = 0;
      if (part == 0 || advance(*record, from, part)) finish(*record, from);
      succeeded = succeeded && record->error == 0;
    }
    return succeeded;
  }

 private:
  /// More would not be faster, and would delay the first request.
  static constexpr std::size_t most_bytes = std::size_t{256} * 1024;

  /// Has the kernel transfer all; blocks. Returns how many bytes it has transferred.
  [[nodiscard]] std::int64_t transfer() const noexcept {
    std::array<iovec, most> parts;
    std::ranges::transform(requests(), parts.begin(),
                           [](const request_record* record) { return iovec{record->data, record->length}; });
    const request_record& first = *requests_[0];
    const int count = static_cast<int>(count_);
    const auto offset = static_cast<off_t>(first.offset);
    const bool writes = first.traits().writes;
    ssize_t answer = 0;
    if (first.at_position())
      answer = writes ? ::writev(first.fd, parts.data(), count) : ::readv(first.fd, parts.data(), count);
    else
      answer =
          writes ? ::pwritev(first.fd, parts.data(), count, offset) : ::preadv(first.fd, parts.data(), count, offset);
    return std::max<std::int64_t>(answer, 0);  // each request then finds out its own error
  }

  std::array<request_record*, most> requests_;  // the first count_
  std::size_t count_ = 1;
  std::size_t bytes_ = 0;
};

}  // namespace asioq::detail
