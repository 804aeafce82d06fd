#include <aio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <vector>

#include "peers.hpp"

namespace bench::peers {
namespace {

class posix_aio_worker final : public worker {
 public:
  explicit posix_aio_worker(const transfer& its)
      : its_(its), offsets_(its), buffers_(its), controls_(its.depth), waiting_(its.depth, nullptr) {
    for (std::size_t i = 0; i < controls_.size(); ++i) {
      // glibc carries out the requests of one descriptor one after another, so there are as many as requests.
      controls_[i].aio_fildes = ::dup(its_.fd);
      controls_[i].aio_buf = buffers_[i];
      controls_[i].aio_nbytes = its_.block;
    }
  }
  ~posix_aio_worker() override {
    for (const ::aiocb& control : controls_) ::close(control.aio_fildes);
  }

  void run(std::size_t requests) override {
    std::size_t submitted = 0;
    for (; submitted < std::min(its_.depth, requests); ++submitted) submit(submitted);
    for (std::size_t done = 0; done < requests;) {
      ::aio_suspend(waiting_.data(), static_cast<int>(waiting_.size()), nullptr);
      for (std::size_t i = 0; i < controls_.size(); ++i) {
        if (waiting_[i] == nullptr) continue;
        const int error = ::aio_error(&controls_[i]);
        if (error == EINPROGRESS) continue;
        waiting_[i] = nullptr;
        const ssize_t bytes = ::aio_return(&controls_[i]);
        check(error != 0 ? -error : bytes, its_, "POSIX AIO");
        ++done;
        if (submitted == requests) continue;
        submit(i);
        ++submitted;
      }
    }
  }

 private:
  void submit(std::size_t slot) {
    ::aiocb& control = controls_[slot];
    control.aio_offset = static_cast<off_t>(offsets_.next());
    if ((its_.way == direction::read ? ::aio_read(&control) : ::aio_write(&control)) != 0)
      throw std::system_error(errno, std::system_category(), "POSIX AIO");
    waiting_[slot] = &control;
  }

  transfer its_;
  offsets offsets_;
  buffers buffers_;
  std::vector<::aiocb> controls_;
  std::vector<const ::aiocb*> waiting_;  // those in flight, and nulls, which aio_suspend skips
};

}  // namespace

maker posix_aio(const transfer& its) { return make<posix_aio_worker>(its); }

}  // namespace bench::peers
