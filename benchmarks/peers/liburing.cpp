#include <liburing.h>

#include <algorithm>
#include <system_error>

#include "peers.hpp"

namespace bench::peers {
namespace {

class liburing_worker final : public worker {
 public:
  explicit liburing_worker(const transfer& its) : its_(its), offsets_(its), buffers_(its) {
    const int result = ::io_uring_queue_init(256, &ring_, 0);
    if (result < 0) throw std::system_error(-result, std::system_category(), "io_uring_queue_init");
  }
  ~liburing_worker() override { ::io_uring_queue_exit(&ring_); }

  void run(std::size_t requests) override {
    std::size_t submitted = 0;
    for (; submitted < std::min(its_.depth, requests); ++submitted) prepare(buffers_[submitted]);
    for (std::size_t done = 0; done < requests;) {
      const int result = ::io_uring_submit_and_wait(&ring_, 1);
      if (result < 0 && result != -EINTR) throw std::system_error(-result, std::system_category(), "io_uring");
      ::io_uring_cqe* completion = nullptr;
      while (::io_uring_peek_cqe(&ring_, &completion) == 0 && completion != nullptr) {
        void* const buffer = ::io_uring_cqe_get_data(completion);
        check(completion->res, its_, "io_uring");
        ::io_uring_cqe_seen(&ring_, completion);
        ++done;
        if (submitted == requests) continue;
        prepare(buffer);
        ++submitted;
      }
    }
  }

 private:
  void prepare(void* buffer) {
    ::io_uring_sqe* const entry = ::io_uring_get_sqe(&ring_);  // never null: the ring has more than are in flight
    const auto length = static_cast<unsigned>(its_.block);
    if (its_.way == direction::read) {
      ::io_uring_prep_read(entry, its_.fd, buffer, length, offsets_.next());
    } else {
      ::io_uring_prep_write(entry, its_.fd, buffer, length, offsets_.next());
    }
    ::io_uring_sqe_set_data(entry, buffer);
  }

  transfer its_;
  offsets offsets_;
  buffers buffers_;
  ::io_uring ring_{};
};

}  // namespace

maker liburing(const transfer& its) { return make<liburing_worker>(its); }

}  // namespace bench::peers
