#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/io_operation.hpp>
#include <asioq/operation.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asioq::testing::detail {

/// What a simulated disk has done, for people.
class disk_log {
 public:
  explicit disk_log(bool is_on) noexcept : is_on_(is_on) {}

  [[nodiscard]] const std::vector<std::string>& lines() const noexcept { return lines_; }

  /// Adds a line of text and numbers. Without memory there is none.
  template <class... Values>
  void note(std::chrono::nanoseconds now, const Values&... values) noexcept {
    if (!is_on_) return;
    try {
      const std::string fraction = std::to_string(now.count() % 1000);
      std::string line = std::to_string(now.count() / 1000) + '.' + std::string(3 - fraction.size(), '0') + fraction;
      line += " us: ";
      (add(line, values), ...);
      lines_.push_back(std::move(line));
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
    }
  }

  /// The line of an operation that has ended, of which `length` bytes were tried.
  void note_end(std::chrono::nanoseconds now, std::string_view file, const io_operation& operation,
                std::uint64_t length, std::int64_t outcome) noexcept {
    if (!is_on_) return;
    const bool is_sized = traits_of(operation.op()).transfers || operation.op() == asio_op::allocate;
    const bool is_placed = (is_sized || operation.op() == asio_op::truncate) && operation.offset() != current_position;
    note(now, traits_of(operation.op()).name, " ", file, " (", operation.fd(), ")",
         part{is_sized, ", ", operation.length(), " bytes"}, part{is_placed, " at ", operation.offset(), ""}, ": ",
         result{outcome}, length < operation.length() ? ", cut short" : "");
  }

 private:
  struct part {
    bool is_there;
    std::string_view before;
    std::uint64_t number;
    std::string_view after;
  };
  struct result {
    std::int64_t outcome;
  };

  static void add(std::string& line, std::string_view text) { line += text; }
  static void add(std::string& line, const part& its) {
    if (its.is_there) line.append(its.before).append(std::to_string(its.number)).append(its.after);
  }
  static void add(std::string& line, const result& its) {
    const auto known = std::ranges::find(names, -its.outcome, &std::pair<int, const char*>::first);
    if (known != names.end())
      line += known->second;
    else
      line.append(its.outcome < 0 ? "errno " : "").append(std::to_string(its.outcome < 0 ? -its.outcome : its.outcome));
  }
  template <std::integral Number>
  static void add(std::string& line, Number number) {
    line += std::to_string(number);
  }

  static constexpr std::array<std::pair<int, const char*>, 9> names = {{{EIO, "EIO"},
                                                                        {EINTR, "EINTR"},
                                                                        {ENOSPC, "ENOSPC"},
                                                                        {EBADF, "EBADF"},
                                                                        {EINVAL, "EINVAL"},
                                                                        {ECANCELED, "ECANCELED"},
                                                                        {ENOMEM, "ENOMEM"},
                                                                        {EDQUOT, "EDQUOT"},
                                                                        {ENODEV, "ENODEV"}}};

  bool is_on_;
  std::vector<std::string> lines_;
};

}  // namespace asioq::testing::detail
