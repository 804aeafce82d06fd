// Operations for engines, without a queue.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/io_operation.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace asioq_test {

/// One step with a buffer and an outcome of its own.
class own_step : public asioq::io_operation {
 public:
  own_step(asioq::asio_op op, int fd, std::string_view data = {}, std::uint64_t offset = asioq::current_position)
      : own_step(op, fd, data.size(), offset) {
    std::copy_n(reinterpret_cast<const std::byte*>(data.data()), data.size(), bytes_.begin());
  }
  own_step(asioq::asio_op op, int fd, std::uint64_t length, std::uint64_t offset = asioq::current_position)
      : bytes_(op == asioq::asio_op::allocate ? 0 : static_cast<std::size_t>(length)) {
    describe(op, fd, bytes_.data(), length, offset);
    on_complete(
        [](void* its, asioq::io_operation&, std::int64_t how) noexcept { static_cast<own_step*>(its)->completed(how); },
        this);
  }
  own_step(const own_step&) = delete;
  own_step& operator=(const own_step&) = delete;
  ~own_step() = default;

  std::optional<std::int64_t> outcome;
  int completions = 0;

  /// What it has read.
  [[nodiscard]] std::string text() const {
    const auto count = static_cast<std::size_t>(std::max<std::int64_t>(outcome.value_or(0), 0));
    return {reinterpret_cast<const char*>(bytes_.data()), std::min(count, bytes_.size())};
  }

 private:
  void completed(std::int64_t its) noexcept {
    outcome = its;
    ++completions;
  }

  std::vector<std::byte> bytes_;
};

/// Has an engine carry out a step, and returns the outcome.
template <asioq::io_executor Executor>
std::int64_t carry_out(const Executor& executor, own_step& step) {
  executor.start(step);
  while (!step.outcome) executor.wait_until(std::chrono::steady_clock::time_point::max());
  return *step.outcome;
}

template <asioq::io_executor Executor, class... Arguments>
std::int64_t carry_out(const Executor& executor, asioq::asio_op op, int fd, Arguments... arguments) {
  own_step step(op, fd, arguments...);
  return carry_out(executor, step);
}

}  // namespace asioq_test
