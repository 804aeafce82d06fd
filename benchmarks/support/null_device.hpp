// What writes cost that go nowhere.
#pragma once

#include <asioq/asioq.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <system_error>
#include <utility>

namespace bench {

class null_device {
 public:
  null_device() : fd_(::open("/dev/null", O_WRONLY | O_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::system_category(), "/dev/null");
  }
  null_device(const null_device&) = delete;
  null_device& operator=(const null_device&) = delete;
  ~null_device() { ::close(fd_); }

  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

/// A number of write-backs of whole buffers, to the queues in turn, until they are finished.
template <class Queues>
void write_back_in_turn(Queues& queues, int fd, std::size_t requests) {
  for (std::size_t i = 0; i < requests; ++i) {
    auto& queue = queues[i % queues.size()];
    asioq::asio_request request = queue.get();
    request.prepare_write_back(fd, request.buffer().size());
    queue.submit(std::move(request));
  }
  for (auto& queue : queues) queue.sync();
}

/// All to one queue.
template <class Queue>
void write_back_all(Queue& queue, int fd, std::size_t requests) {
  const std::span<Queue, 1> alone(&queue, 1);
  write_back_in_turn(alone, fd, requests);
}

}  // namespace bench
