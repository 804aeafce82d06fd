// Many small requests side by side, past the page cache, beside a loop that makes one system call for each.
#include <asioq/asioq.hpp>

#include <utility>

#include "groups.hpp"
#include "peers/peers.hpp"
#include "support/queue_transfer.hpp"

namespace bench {
namespace {

template <class Place>
class adjacent_write_backs final : public worker {
 public:
  explicit adjacent_write_backs(const transfer& its)
      : its_(its), offsets_(its), its_queue_({.buffer_size = its.block, .max_writebacks = its.depth}) {}

  void run(std::size_t requests) override {
    for (std::size_t i = 0; i < requests; ++i) {
      asioq::asio_request request = its_queue_.queue.get();
      request.prepare_write_back(its_.fd, its_.block, offsets_.next());
      its_queue_.queue.submit(std::move(request));
    }
    its_queue_.queue.sync();
  }

 private:
  transfer its_;
  offsets offsets_;
  queue_on<Place> its_queue_;
};

}  // namespace

void add_adjacent(table& rows, const test_file& file) {
  if (!file.why_not_direct().empty()) return;
  transfer its{.fd = file.direct(),
               .file_size = file.size(),
               .block = 4096,
               .depth = 32,
               .way = direction::write,
               .order = pattern::sequential};
  rows.add(relative_speed,
           {.name = "adjacent/write_backs",
            .work = "4 KiB sequential direct write-backs, 32 unfinished",
            .subject = "asio_queue",
            .peer = "pwrite(2)",
            .goal = 6},
           make<adjacent_write_backs<default_pool>>(its), peers::plain(its));
  its.way = direction::read;
  rows.add(relative_speed,
           {.name = "adjacent/reads",
            .work = "4 KiB sequential direct reads, 32 submitted ahead",
            .subject = "asio_queue",
            .peer = "pread(2)",
            .goal = 4},
           make<queue_transfer<default_pool>>(its, asioq::execution_order::strict), peers::plain(its));
}

}  // namespace bench
