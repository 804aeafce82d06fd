// Requests without a queue, for tests of what is below it.
#pragma once

#include <asioq/detail/request/record.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace asioq_test {

/// Makes records that stay where they are.
class record_store {
 public:
  using record_type = asioq::detail::request_record;

  record_type& make(asioq::asio_op op, int fd, std::size_t length = 0, std::uint64_t offset = asioq::current_position) {
    record_type& its = records_.emplace_back(nullptr, buffer_.data());
    its.op = op;
    its.fd = fd;
    its.length = length;
    its.offset = offset;
    its.sequence = records_.size() - 1;
    return its;
  }

  [[nodiscard]] std::deque<record_type>& all() { return records_; }

 private:
  alignas(4096) std::array<std::byte, 4096> buffer_{};  // of all: nothing is transferred
  std::deque<record_type> records_;
};

}  // namespace asioq_test
