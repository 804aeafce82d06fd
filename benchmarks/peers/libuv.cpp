#include <uv.h>

#include <algorithm>
#include <exception>
#include <system_error>
#include <vector>

#include "peers.hpp"

namespace bench::peers {
namespace {

class libuv_worker final : public worker {
 public:
  explicit libuv_worker(const transfer& its) : its_(its), offsets_(its), buffers_(its), slots_(its.depth) {
    check_call(::uv_loop_init(&loop_));
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      slots_[i].its = this;
      slots_[i].buffer = ::uv_buf_init(reinterpret_cast<char*>(buffers_[i]), static_cast<unsigned>(its_.block));
      slots_[i].request.data = &slots_[i];
    }
  }
  ~libuv_worker() override { ::uv_loop_close(&loop_); }

  void run(std::size_t requests) override {
    submitted_ = 0;
    requests_ = requests;
    for (std::size_t i = 0; i < std::min(its_.depth, requests); ++i) submit(slots_[i]);
    ::uv_run(&loop_, UV_RUN_DEFAULT);
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct slot {
    libuv_worker* its = nullptr;
    ::uv_buf_t buffer{};
    ::uv_fs_t request{};
  };

  static void check_call(int result) {
    if (result < 0) throw std::system_error(-result, std::system_category(), "libuv");
  }

  void submit(slot& with) {
    const auto offset = static_cast<std::int64_t>(offsets_.next());
    ++submitted_;
    check_call(its_.way == direction::read
                   ? ::uv_fs_read(&loop_, &with.request, its_.fd, &with.buffer, 1, offset, completed)
                   : ::uv_fs_write(&loop_, &with.request, its_.fd, &with.buffer, 1, offset, completed));
  }

  // Called from C, through which no exception goes.
  static void completed(::uv_fs_t* request) noexcept {
    slot& with = *static_cast<slot*>(request->data);
    libuv_worker& its = *with.its;
    const std::int64_t outcome = request->result;
    ::uv_fs_req_cleanup(request);
    try {
      check(outcome, its.its_, "libuv");
      if (its.submitted_ < its.requests_ && !its.failure_) its.submit(with);
    } catch (...) {
      its.failure_ = std::current_exception();
    }
  }

  transfer its_;
  offsets offsets_;
  buffers buffers_;
  std::vector<slot> slots_;
  ::uv_loop_t loop_{};
  std::size_t submitted_ = 0;
  std::size_t requests_ = 0;
  std::exception_ptr failure_;
};

}  // namespace

maker libuv(const transfer& its) { return make<libuv_worker>(its); }

}  // namespace bench::peers
