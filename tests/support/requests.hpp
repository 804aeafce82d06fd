// Short ways to make requests and to look at finished ones.
#pragma once

#include <asioq/asioq.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "files.hpp"

namespace asioq_test {

inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline void set_text(asioq::asio_request& request, std::string_view text) {
  std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), request.buffer().begin());
}

/// How often a request was submitted to the queue so far.
template <class Queue>
std::uint64_t submitted(const Queue& queue) {
  for (;;) {
    const std::uint64_t finished = queue.completed_through();
    const std::uint64_t all = finished + queue.running_requests();
    if (queue.completed_through() == finished) return all;  // else some have finished between the two looks
  }
}

template <class Queue>
asioq::asio_request write_of(Queue& queue, const descriptor& file, std::string_view text,
                             std::uint64_t offset = asioq::current_position) {
  asioq::asio_request request = queue.get();
  set_text(request, text);
  request.prepare_write(file.get(), text.size(), offset);
  return request;
}

template <class Queue>
asioq::asio_request write_back_of(Queue& queue, int fd, std::string_view text,
                                  std::uint64_t offset = asioq::current_position) {
  asioq::asio_request request = queue.get();
  set_text(request, text);
  request.prepare_write_back(fd, text.size(), offset);
  return request;
}

template <class Queue>
asioq::asio_request write_back_of(Queue& queue, const descriptor& file, std::string_view text,
                                  std::uint64_t offset = asioq::current_position) {
  return write_back_of(queue, file.get(), text, offset);
}

template <class Queue>
asioq::asio_request read_of(Queue& queue, int fd, std::size_t length, std::uint64_t offset = asioq::current_position) {
  asioq::asio_request request = queue.get();
  request.prepare_read(fd, length, offset);
  return request;
}

template <class Queue>
asioq::asio_request read_of(Queue& queue, const descriptor& file, std::size_t length,
                            std::uint64_t offset = asioq::current_position) {
  return read_of(queue, file.get(), length, offset);
}

template <class Queue>
asioq::asio_request fsync_of(Queue& queue, const descriptor& file) {
  asioq::asio_request request = queue.get();
  request.prepare_fsync(file.get());
  return request;
}

/// What a test compares of a finished request.
struct outcome {
  asioq::asio_op op;
  std::uint64_t sequence;
  std::error_code error;
  std::size_t bytes;
  std::string data;  // as many bytes as were transferred

  explicit outcome(asioq::asio_request& done)
      : op(done.op()),
        sequence(done.sequence()),
        error(done.error()),
        bytes(done.bytes_transferred()),
        data(text_of(done.data())) {}
};

/// Waits for all that is left.
template <class Queue>
std::vector<outcome> drain(Queue& queue) {
  std::vector<outcome> all;
  while (asioq::asio_request done = queue.wait()) all.emplace_back(done);
  return all;
}

/// Submits one request and waits for it.
template <class Queue>
asioq::asio_request run(Queue& queue, asioq::asio_request request) {
  queue.submit(std::move(request));
  return queue.wait();
}

}  // namespace asioq_test
