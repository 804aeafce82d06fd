// Files read and written past the page cache, beside the other ways to have several requests in flight.
#include <asioq/asioq.hpp>

#include <string>
#include <vector>

#include "groups.hpp"
#include "peers/peers.hpp"
#include "support/queue_transfer.hpp"

namespace bench {
namespace {

constexpr auto strict = asioq::execution_order::strict;
constexpr auto as_if_serial = asioq::execution_order::as_if_serial;

/// Blocks from this size on may take all that a disk allows.
constexpr std::size_t rationed = std::size_t{256} << 10U;

struct contender {
  std::string name;
  std::string title;
  maker who;
  bool needs_io_uring = false;
  bool is_peer = false;
};

/// All but liburing, beside liburing; and the queues beside pread(2) or pwrite(2) too.
void add_transfer(table& rows, const std::string& name, const std::string& work, const transfer& its) {
  const bool io_uring = asioq::uring_context::available();
  const std::string loop = its.way == direction::read ? "pread(2)" : "pwrite(2)";
  const std::vector<contender> contenders{
      {"asioq_uring", "asioq, io_uring, as if serial", make<queue_transfer<ring>>(its, as_if_serial), true},
      {"asioq_pool", "asioq, 4 threads, as if serial", make<queue_transfer<pool_of<4>>>(its, as_if_serial)},
      {"asioq_strict", "asioq, 4 threads, strict", make<queue_transfer<pool_of<4>>>(its, strict)},
      {"plain", loop, peers::plain(its), false, true},
      {"asio", "Asio random_access_file", peers::asio_file(its), true, true},
      {"libuv", "libuv", peers::libuv(its), false, true},
      {"posix_aio", "POSIX AIO", peers::posix_aio(its), false, true},
  };
  const std::string depth = "/" + std::to_string(its.depth);
  const auto add = [&](const contender& subject, const std::string& suffix, const std::string& peer,
                       const maker& other) {
    rows.add(relative_speed,
             {.name = name + suffix + "/" + subject.name + depth,
              .work = work,
              .subject = subject.title,
              .peer = peer,
              .in_turns = its.block >= rationed},
             subject.who, other);
  };
  for (const contender& subject : contenders)
    if (io_uring) add(subject, "", "liburing", peers::liburing(its));
  for (const contender& subject : contenders)
    if (!subject.is_peer && (io_uring || !subject.needs_io_uring))
      add(subject, "_beside_plain", loop, peers::plain(its));
}

/// What as_if_serial costs or gains where there is nothing to run at the same time.
template <class Place>
void add_orders(table& rows, const std::string& name, const std::string& where, const transfer& its) {
  rows.add(relative_speed,
           {.name = "orders/" + name,
            .work = "4 KiB random reads, depth 1",
            .subject = "asioq, " + where + ", as if serial",
            .peer = "the same, strict"},
           make<queue_transfer<Place>>(its, as_if_serial), make<queue_transfer<Place>>(its, strict));
}

}  // namespace

void add_transfers(table& rows, const test_file& file) {
  if (!file.why_not_direct().empty()) {
    rows.leave_out("all transfers of a file past the page cache: " + file.why_not_direct());
    return;
  }
  const bool io_uring = asioq::uring_context::available();
  if (!io_uring) rows.leave_out("all on io_uring, and all beside it: io_uring cannot be set up here");

  for (const std::size_t depth : {1U, 8U, 32U, 128U})
    add_transfer(rows, "random_read", "4 KiB random reads, depth " + std::to_string(depth),
                 {.fd = file.direct(), .file_size = file.size(), .block = 4096, .depth = depth});
  for (const direction way : {direction::read, direction::write}) {
    const std::string kind = way == direction::read ? "read" : "write";
    add_transfer(rows, "sequential_" + kind, "1 MiB sequential " + kind + "s, depth 4",
                 {.fd = file.direct(),
                  .file_size = file.size(),
                  .block = 1 << 20,
                  .depth = 4,
                  .way = way,
                  .order = pattern::sequential});
  }

  // The sizes between: beyond the largest transfer of a device, io_uring gives a request to a worker of the kernel's.
  for (const std::size_t kibibytes : {256U, 512U}) {
    const std::string size = std::to_string(kibibytes);
    const transfer its{.fd = file.direct(),
                       .file_size = file.size(),
                       .block = kibibytes * 1024,
                       .depth = 4,
                       .order = pattern::sequential};
    if (io_uring)
      rows.add(relative_speed,
               {.name = "sequential_read_" + size + "k/asioq_uring/4",
                .work = size + " KiB sequential reads, depth 4",
                .subject = "asioq, io_uring, as if serial",
                .peer = "liburing",
                .in_turns = true},
               make<queue_transfer<ring>>(its, as_if_serial), peers::liburing(its));
  }

  const transfer one{.fd = file.direct(), .file_size = file.size(), .block = 4096, .depth = 1};
  if (io_uring) add_orders<ring>(rows, "uring", "io_uring", one);
  add_orders<pool_of<4>>(rows, "pool", "4 threads", one);
}

void add_overhead(table& rows, const test_file& file) {
  if (!asioq::uring_context::available()) return;
  // From the page cache, so that no device is waited for: what is left is the kernel's copying, the same for both, and
  // what they do themselves. /dev/zero would not do, as requests on what is no file or disk never run at the same time.
  const transfer its{.fd = file.cached(), .file_size = file.size(), .block = 4096, .depth = 32};
  rows.add(extra_time,
           {.name = "overhead",
            .work = "4 KiB random reads from the page cache, depth 32, each",
            .subject = "asioq, io_uring, as if serial",
            .peer = "liburing",
            .goal = 150},
           make<queue_transfer<ring>>(its, as_if_serial), peers::liburing(its));
}

}  // namespace bench
