// Shows a queue in an event loop of one thread: epoll waits for a socket, a timer and finished requests.
// A server writes what a client sends to a file, answers when it is there, and syncs the file when it is idle.
#include <asioq/asioq.hpp>

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <utility>

struct server final : asioq::completion {
  asioq::asio_queue queue{{.buffer_size = 64}};
  int socket = -1, file = -1, outstanding = 0, syncs = 0, failures = 0;

  void submit(asioq::asio_request request) {
    queue.submit(std::move(request), *this);  // the queue has the server's address until it calls finished()
    ++outstanding;
  }
  bool on_record() {
    asioq::asio_request request = queue.get();
    const ssize_t size = ::recv(socket, request.buffer().data(), request.buffer().size(), 0);
    if (size <= 0) return false;
    request.prepare_write(file, static_cast<std::size_t>(size));  // at the file's position: behind the last record
    submit(std::move(request));
    return true;
  }
  void on_timer() {
    asioq::asio_request request = queue.get();
    request.prepare_fdatasync(file);
    submit(std::move(request));
  }
  void finished(asioq::asio_request request) noexcept override {  // called inside poll(), in the order of submission
    --outstanding;
    if (request.error()) ++failures;
    if (request.op() == asioq::asio_op::fdatasync) ++syncs;
    if (request.op() == asioq::asio_op::write) ::send(socket, request.error() ? "n" : "y", 1, MSG_NOSIGNAL);
  }
};

int main() try {
  std::array<int, 2> sockets{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets.data()) != 0) return std::perror("loop_epoll: socketpair"), 1;
  for (int i = 0; i < 100; ++i) ::send(sockets[0], "a record", 8, 0);  // the client, in a hurry
  ::shutdown(sockets[0], SHUT_WR);
  server its;
  its.socket = sockets[1];
  its.file = ::memfd_create("records", MFD_CLOEXEC);  // any file will do
  const int timer = ::timerfd_create(CLOCK_MONOTONIC, 0);
  const itimerspec each_millisecond{{0, 1'000'000}, {0, 1'000'000}};
  ::timerfd_settime(timer, 0, &each_millisecond, nullptr);
  const int finished = its.queue.native_handle();  // readable while poll() would deliver something
  const int loop = ::epoll_create1(0);
  for (const int fd : {its.socket, timer, finished}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    ::epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
  }
  for (bool is_open = true; is_open || its.outstanding > 0 || its.syncs == 0;) {
    epoll_event event{};
    if (::epoll_wait(loop, &event, 1, -1) < 0) return std::perror("loop_epoll: epoll_wait"), 1;
    std::uint64_t ticks = 0;
    if (event.data.fd == finished) its.queue.poll();
    if (event.data.fd == timer && ::read(timer, &ticks, sizeof ticks) > 0 && its.outstanding == 0) its.on_timer();
    if (event.data.fd == its.socket && !its.on_record())
      is_open = ::epoll_ctl(loop, EPOLL_CTL_DEL, its.socket, nullptr) != 0;
  }
  int answers = 0;
  for (char answer = 'y'; ::recv(sockets[0], &answer, 1, MSG_DONTWAIT) == 1;) answers += answer == 'y' ? 1 : 0;
  const auto size = static_cast<long>(::lseek(its.file, 0, SEEK_END));
  std::printf("%d answers, %ld bytes written, synced %d times\n", answers, size, its.syncs);
  if (its.failures > 0 || answers != 100 || size != 800) return std::fputs("loop_epoll: data are lost\n", stderr), 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "loop_epoll: %s\n", error.what());
  return 1;
}
