// File systems that lose their disk at a random moment: what a successful sync has covered is there when they are
// mounted again.
#include <asioq/asioq.hpp>
#ifdef ASIOQ_TEST_URING
#include <asioq/uring.hpp>
#endif

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "catch.hpp"
#include "files.hpp"
#include "hosts.hpp"
#include "mounted_disk.hpp"
#include "record_log.hpp"
#include "seed.hpp"

using namespace asioq_test;

namespace {

constexpr int cuts = 6;

/// Runs the program until it has been told that the disk is gone. Returns how many records had been synced before.
///
/// Linux (6.18 for one) may call a sync a success that is under way when a file system is shut down, though nothing is
/// on the disk: plain pwrite(2) and fdatasync(2) show it. So only what was synced before counts.
template <class Host>
std::uint64_t append_until_gone(mounted_disk& disk, int fd, asioq::execution_order order, std::uint64_t records,
                                log_progress& progress) {
  Host host;
  asioq::basic_asio_queue queue{
      host.executor(),
      {.buffer_size = 4096, .order = order, .max_in_flight = 8, .on_lost_failure = [](asioq::asio_request&) {}}};
  std::uint64_t synced = 0;
  bool is_off = false;
  std::thread enemy([&] {
    while (progress.submitted.load() < records) std::this_thread::yield();
    synced = progress.acknowledged.load();
    is_off = disk.switch_off();
  });
  record_log(fd, record_log::place::at_offsets, progress).run(queue, [&] {
    return progress.submitted.load() < 10 * records + 1000;
  });
  enemy.join();
  CHECK(is_off);
  return synced;
}

template <class Host>
void cut_often(const std::string& type) {
  const std::unique_ptr<mounted_disk> disk = mounted_disk::make(type);
  if (!disk) {
    WARN("skipped: " << type << " cannot be mounted and switched off here");
    return;
  }
  std::mt19937_64 random = random_source(std::hash<std::string>{}(type));
  std::uint64_t synced = 0;
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    for (int i = 0; i < cuts; ++i) {
      const std::string name = std::to_string(static_cast<int>(order)) + "-" + std::to_string(i);
      log_progress progress;
      std::uint64_t acknowledged = 0;
      {
        const descriptor file = open_path(disk->path() / name, O_RDWR | O_CREAT | O_EXCL);
        ::sync();
        acknowledged = append_until_gone<Host>(*disk, file.get(), order, 1 + below(random, 300), progress);
        CHECK(progress.has_failed);  // the program has been told
      }
      REQUIRE(disk->restart());
      synced += acknowledged;
      const std::string text = contents(open_path(disk->path() / name, O_RDONLY));
      // Of what was not synced, the disk may have any part.
      for (std::uint64_t record = 0; record < acknowledged; ++record) {
        if (text.substr(record * record_log::record_size, record_log::record_size) == record_log::record(record))
          continue;
        FAIL_CHECK(type << ", " << name << ": record " << record << " of " << acknowledged << " is lost");
        break;
      }
    }
  }
  CHECK(synced > 0);
}

template <class Host>
void cut_each_file_system() {
  SECTION("ext4") { cut_often<Host>("ext4"); }
  SECTION("xfs") { cut_often<Host>("xfs"); }
}

}  // namespace

TEST_CASE("what was synced survives that the disk is switched off, on a pool", "[crash]") {
  cut_each_file_system<pool_host>();
}
#ifdef ASIOQ_TEST_URING
TEST_CASE("what was synced survives that the disk is switched off, on io_uring", "[crash]") {
  if (!asioq::uring_context::available()) {
    WARN("skipped: io_uring is not to be had");
    return;
  }
  cut_each_file_system<uring_host>();
}
#endif
