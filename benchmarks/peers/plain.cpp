#include <unistd.h>

#include <cerrno>

#include "peers.hpp"

namespace bench::peers {
namespace {

class plain_worker final : public worker {
 public:
  explicit plain_worker(const transfer& its) : its_(its), offsets_(its), buffers_(its) {}

  void run(std::size_t requests) override {
    for (std::size_t i = 0; i < requests; ++i) {
      const auto offset = static_cast<off_t>(offsets_.next());
      const ssize_t result = its_.way == direction::read ? ::pread(its_.fd, buffers_[0], its_.block, offset)
                                                         : ::pwrite(its_.fd, buffers_[0], its_.block, offset);
      check(result < 0 ? -errno : result, its_, "pread or pwrite");
    }
  }

 private:
  transfer its_;
  offsets offsets_;
  buffers buffers_;
};

}  // namespace

maker plain(const transfer& its) { return make<plain_worker>(its); }

}  // namespace bench::peers
