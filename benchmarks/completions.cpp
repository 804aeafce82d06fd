// What it costs to be told of a request by a coroutine or an event loop: beside wait(), beside liburing, and beside
// other libraries.
#include <asioq/asioq.hpp>
#include <asioq/uring.hpp>

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <fstream>
#include <ios>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "groups.hpp"
#include "peers/peers.hpp"
#include "support/queue_transfer.hpp"

namespace bench {
namespace {

constexpr auto as_if_serial = asioq::execution_order::as_if_serial;

/// A coroutine that runs at once, and is forgotten.
struct detached {
  struct promise_type {
    detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

/// Prepares the requests of one transfer, as many as `start` was given.
class requests_to_make {
 public:
  explicit requests_to_make(const transfer& its) : its_(its), offsets_(its) {}

  void start(std::size_t requests) { left_ = requests; }
  /// Whether there is one more, which is prepared then.
  bool prepare_next(asioq::asio_request& request) {
    if (left_ == 0) return false;
    --left_;
    request.prepare_read(its_.fd, its_.block, offsets_.next());
    return true;
  }

 private:
  transfer its_;
  offsets offsets_;
  std::size_t left_ = 0;
};

asioq::queue_options options_for(const transfer& its) {
  return {.buffer_size = its.block, .order = as_if_serial, .max_in_flight = its.depth};
}

/// As many coroutines as there are requests in flight.
template <class Place>
class by_coroutines final : public worker {
 public:
  explicit by_coroutines(const transfer& its) : depth_(its.depth), to_make_(its), its_queue_(options_for(its)) {}

  void run(std::size_t requests) override {
    to_make_.start(requests);
    for (std::size_t i = 0; i < std::min(depth_, requests); ++i) read_on();
    while (its_queue_.queue.run_one() != 0) {
    }
  }

 private:
  detached read_on() {
    auto& queue = its_queue_.queue;
    asioq::asio_request request = queue.get();
    while (to_make_.prepare_next(request)) {
      request = co_await queue.async_submit(std::move(request));
      check(request);
    }
  }

  std::size_t depth_;
  requests_to_make to_make_;
  queue_on<Place> its_queue_;
};

/// Epoll, and the queue's descriptor in it.
class event_loop {
 public:
  explicit event_loop(int descriptor) : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (epoll_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0)
      throw std::system_error(errno, std::system_category(), "epoll");
  }
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;
  ~event_loop() { ::close(epoll_); }

  void sleep() const {
    epoll_event event{};
    while (::epoll_wait(epoll_, &event, 1, -1) < 0 && errno == EINTR) {
    }
  }

 private:
  int epoll_;
};

template <class Place>
class by_epoll final : public worker, asioq::completion {
 public:
  explicit by_epoll(const transfer& its)
      : depth_(its.depth), to_make_(its), its_queue_(options_for(its)), loop_(its_queue_.queue.native_handle()) {}

  void run(std::size_t requests) override {
    to_make_.start(requests);
    running_ = 0;
    for (std::size_t i = 0; i < std::min(depth_, requests); ++i) submit(its_queue_.queue.get());
    while (running_ != 0) {
      loop_.sleep();
      ++sleeps_;
      if (counts_) writes_ += writes_to(its_queue_.queue.native_handle());
      its_queue_.queue.poll();
    }
  }

  /// Writes to the descriptor for each time that the loop slept, while `requests` more run.
  double writes_per_sleep(std::size_t requests) {
    counts_ = true;
    writes_ = sleeps_ = 0;
    run(requests);
    return static_cast<double>(writes_) / static_cast<double>(sleeps_);
  }

 private:
  void finished(asioq::asio_request request) noexcept override {
    --running_;
    check(request);
    submit(std::move(request));
  }

  void submit(asioq::asio_request request) {
    if (!to_make_.prepare_next(request)) return;
    its_queue_.queue.submit(std::move(request), *this);
    ++running_;
  }

  /// Since the queue has read it.
  static std::size_t writes_to(int eventfd) {
    std::ifstream info("/proc/self/fdinfo/" + std::to_string(eventfd));
    std::string key;
    std::size_t count = 0;
    while (info >> key)
      if (key == "eventfd-count:") info >> std::hex >> count;
    return count;
  }

  std::size_t depth_;
  requests_to_make to_make_;
  queue_on<Place> its_queue_;
  event_loop loop_;
  std::size_t running_ = 0;
  std::size_t sleeps_ = 0;
  std::size_t writes_ = 0;
  bool counts_ = false;
};

template <class Place>
void add_beside_wait(table& rows, const std::string& name, const std::string& where, const transfer& its,
                     std::optional<double> goal_of_epoll) {
  const auto add = [&](const std::string& how, const std::string& title, const maker& who, std::optional<double> goal) {
    rows.add(extra_time,
             {.name = "completions/" + how + "/" + name,
              .work = "one 4 KiB read at a time, from the page cache",
              .subject = title + ", " + where,
              .peer = "wait(), " + where,
              .goal = goal},
             who, make<queue_transfer<Place>>(its, as_if_serial));
  };
  add("coroutine", "a coroutine", make<by_coroutines<Place>>(its), 1000);
  add("epoll", "epoll", make<by_epoll<Place>>(its), goal_of_epoll);
}

}  // namespace

void add_completions(table& rows, const test_file& file, const test_file& cached_file) {
  if (!asioq::uring_context::available()) return;  // transfers.cpp has said why
  // A device would hide what is to be measured.
  const transfer at_once{.fd = cached_file.cached(), .file_size = cached_file.size(), .block = 4096, .depth = 1};
  add_beside_wait<ring>(rows, "uring", "io_uring", at_once, 1000);
  // On threads wait() carries out the request itself, and epoll has to be woken: no goal can be the same for both.
  add_beside_wait<pool_of<4>>(rows, "pool", "4 threads", at_once, {});

  if (!file.why_not_direct().empty()) return;
  const transfer one{.fd = file.direct(), .file_size = file.size(), .block = 4096, .depth = 1};
  const auto beside = [&](const std::string& name, const transfer& its, const std::string& subject, const maker& who,
                          const std::string& peer, const maker& other, double goal) {
    rows.add(relative_speed,
             {.name = "completions/" + name,
              .work = "4 KiB random reads, depth " + std::to_string(its.depth),
              .subject = subject,
              .peer = peer,
              .goal = goal},
             who, other);
  };
  const std::string by_epoll_on_ring = "epoll, asioq on io_uring";
  beside("epoll_beside_asio", one, by_epoll_on_ring, make<by_epoll<ring>>(one), "Asio random_access_file",
         peers::asio_file(one), 1);
  beside("epoll_beside_libuv", one, by_epoll_on_ring, make<by_epoll<ring>>(one), "libuv", peers::libuv(one), 1);
  transfer many = one;
  many.depth = 32;
  const std::string coroutines = "coroutines, asioq on io_uring";
  beside("coroutines_beside_liburing", many, coroutines, make<by_coroutines<ring>>(many), "liburing",
         peers::liburing(many), 0.95);
  beside("coroutines_beside_asio", many, coroutines, make<by_coroutines<ring>>(many), "coroutines, Asio",
         peers::asio_coroutines(many), 1);
  beside("epoll_beside_liburing", many, by_epoll_on_ring, make<by_epoll<ring>>(many), "liburing", peers::liburing(many),
         0.95);

  rows.add_count("writes",
                 {.name = "completions/eventfd_writes",
                  .work = "writes to the descriptor for each time that epoll slept, 32 random reads in flight",
                  .subject = "epoll, asioq on 4 threads",
                  .goal = 1},
                 [many] { return by_epoll<pool_of<4>>(many).writes_per_sleep(5'000); });
}

}  // namespace bench
