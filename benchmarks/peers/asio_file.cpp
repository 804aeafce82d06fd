// Compiled with ASIO_HAS_IO_URING and ASIO_DISABLE_EPOLL, with which Asio has files, and alone, as Asio with other
// macros is another library.
#include <unistd.h>

#include <algorithm>
#include <asio/awaitable.hpp>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/random_access_file.hpp>
#include <asio/use_awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <system_error>

#include "peers.hpp"

namespace bench::peers {
namespace {

class asio_worker final : public worker {
 public:
  explicit asio_worker(const transfer& its) : its_(its), offsets_(its), buffers_(its) {
    while (files_.size() < its_.depth) files_.emplace_back(context_, ::dup(its_.fd));
  }

  void run(std::size_t requests) override {
    submitted_ = 0;
    requests_ = requests;
    for (std::size_t slot = 0; slot < std::min(its_.depth, requests); ++slot) submit(slot);
    context_.restart();
    context_.run();
  }

 private:
  void submit(std::size_t slot) {
    ++submitted_;
    const auto then = [this, slot](const std::error_code& error, std::size_t bytes) {
      check(error ? -error.value() : static_cast<std::int64_t>(bytes), its_, "Asio");
      if (submitted_ < requests_) submit(slot);
    };
    if (its_.way == direction::read) {
      files_[slot].async_read_some_at(offsets_.next(), asio::buffer(buffers_[slot], its_.block), then);
    } else {
      files_[slot].async_write_some_at(offsets_.next(), asio::buffer(buffers_[slot], its_.block), then);
    }
  }

  transfer its_;
  offsets offsets_;
  buffers buffers_;
  asio::io_context context_{1};
  std::deque<asio::random_access_file> files_;  // one of these has one read at a time in the kernel, so there are many
  std::size_t submitted_ = 0;
  std::size_t requests_ = 0;
};

class asio_coroutine_worker final : public worker {
 public:
  explicit asio_coroutine_worker(const transfer& its) : its_(its), offsets_(its), buffers_(its) {
    while (files_.size() < its_.depth) files_.emplace_back(context_, ::dup(its_.fd));
  }

  void run(std::size_t requests) override {
    left_ = requests;
    for (std::size_t slot = 0; slot < std::min(its_.depth, requests); ++slot)
      asio::co_spawn(context_, read_on(slot), [](const std::exception_ptr& error) {
        if (error) std::rethrow_exception(error);
      });
    context_.restart();
    context_.run();
  }

 private:
  asio::awaitable<void> read_on(std::size_t slot) {
    for (; left_ != 0;) {
      --left_;
      const std::size_t bytes = co_await files_[slot].async_read_some_at(
          offsets_.next(), asio::buffer(buffers_[slot], its_.block), asio::use_awaitable);
      check(static_cast<std::int64_t>(bytes), its_, "Asio");
    }
  }

  transfer its_;
  offsets offsets_;
  buffers buffers_;
  asio::io_context context_{1};
  std::deque<asio::random_access_file> files_;
  std::size_t left_ = 0;
};

}  // namespace

maker asio_coroutines(const transfer& its) { return make<asio_coroutine_worker>(its); }

maker asio_file(const transfer& its) { return make<asio_worker>(its); }

}  // namespace bench::peers
