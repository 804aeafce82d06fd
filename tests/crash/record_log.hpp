// A program that appends records to a file and syncs it now and then, and what must be there of it after a crash.
#pragma once

#include <asioq/asioq.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "files.hpp"

namespace asioq_test {

/// What the program has been told. In memory that outlives it.
struct log_progress {
  std::atomic<std::uint64_t> submitted = 0;     // records
  std::atomic<std::uint64_t> acknowledged = 0;  // records that a successful sync has covered
  std::atomic<bool> has_failed = false;         // a request has come back with an error
};

/// The records are of one size, and no two are alike.
class record_log {
 public:
  static constexpr std::size_t record_size = 600;
  static constexpr std::uint64_t group = 5;  // records before each sync

  enum class place { at_offsets, at_position };

  record_log(int fd, place where, log_progress& progress) : fd_(fd), where_(where), progress_(progress) {}

  static std::string record(std::uint64_t number) {
    std::string all = pattern(record_size, static_cast<unsigned>(number % 64));
    std::memcpy(all.data(), &number, sizeof number);
    return all;
  }

  /// Appends until something fails or `goes_on()` is false. Collects everything. The queue's buffers have room for a
  /// record.
  template <class Queue, class GoesOn>
  void run(Queue& queue, GoesOn goes_on) {
    for (std::uint64_t number = 0; goes_on() && !progress_.has_failed; ++number) {
      try {
        append(queue, number);
      } catch (const asioq::write_back_error&) {
        progress_.has_failed = true;
      }
      if ((number + 1) % group != 0) continue;
      asioq::asio_request sync = queue.get();
      sync.prepare_fdatasync(fd_);
      queue.submit(std::move(sync));
      ++syncs_submitted_;
      if (syncs_submitted_ - syncs_returned_ > 3) take(queue.wait());
      while (take(queue.try_wait())) {
      }
    }
    while (take(queue.wait())) {
    }
  }

  /// What is wrong with the file after a crash; empty if nothing is. What a sync has covered must be there; behind the
  /// first sync that did not end there must be nothing. Between them, as if serial, any record may be there, in strict
  /// order only those before one that is not.
  static std::string check(std::string_view text, std::uint64_t acknowledged, bool is_serial) {
    const std::uint64_t records = (text.size() + record_size - 1) / record_size;
    if (records < acknowledged) return "the file ends before record " + std::to_string(acknowledged);
    bool ends = false;  // a record is not there, or not all of it
    bool group_ends = false;
    for (std::uint64_t i = 0; i < records; ++i) {
      if (i % group == 0) group_ends = group_ends || ends;
      const std::string expected = record(i);
      const std::string_view found = text.substr(i * record_size, record_size);
      if (found == expected && !(is_serial ? ends : group_ends)) continue;
      if (i < acknowledged) return "record " + std::to_string(i) + " was synced and is not there";
      // Of a write that was interrupted a part may be there.
      const auto [first, rest] = std::ranges::mismatch(found, expected);
      const bool is_part = std::all_of(first, found.end(), [](char c) { return c == '\0'; });
      if (!is_part) return "record " + std::to_string(i) + " is not what was written";
      if ((is_serial ? ends : group_ends) && first != found.begin())
        return "record " + std::to_string(i) + " is there, but not what comes before it";
      ends = true;
    }
    return {};
  }

 private:
  template <class Queue>
  void append(Queue& queue, std::uint64_t number) {
    const std::string text = record(number);
    asioq::asio_request request = queue.get();
    std::ranges::copy(std::as_bytes(std::span(text)), request.buffer().begin());
    const std::uint64_t offset = number * record_size;
    if (where_ == place::at_position)
      request.prepare_write_back(fd_, record_size);
    else if (number % 2 == 0)
      request.prepare_write_back(fd_, record_size, offset);
    else
      request.prepare_write(fd_, record_size, offset);
    queue.submit(std::move(request));
    progress_.submitted.store(number + 1);
  }

  /// Requests come back in order, so a sync that succeeds covers all before it unless one of them has come back with an
  /// error.
  bool take(const asioq::asio_request& done) {
    if (!done) return false;
    if (done.error()) progress_.has_failed = true;
    if (done.op() != asioq::asio_op::fdatasync) return true;
    ++syncs_returned_;
    if (!progress_.has_failed) progress_.acknowledged.store(syncs_returned_ * group);
    return true;
  }

  int fd_;
  place where_;
  log_progress& progress_;
  std::uint64_t syncs_submitted_ = 0;
  std::uint64_t syncs_returned_ = 0;
};

}  // namespace asioq_test
