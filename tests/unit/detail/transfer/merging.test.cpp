#include <asioq/detail/transfer/merging.hpp>

#include "catch.hpp"
#include "files.hpp"
#include "mounts.hpp"
#include "records.hpp"

#include <sys/ioctl.h>
#include <sys/socket.h>

using namespace asioq_test;
using asioq::asio_op;
using asioq::detail::merging;
using asioq::detail::merging_probe;
using asioq::detail::request_record;

namespace {

merging allowed(const descriptor& file) { return merging_probe()(file.get()); }

}  // namespace

TEST_CASE("direct parts are merged only if they are whole sectors", "[merging]") {
  record_store store;
  const auto with = [&](std::size_t length, std::uint64_t offset) -> request_record& {
    return store.make(asio_op::read, 3, length, offset);
  };
  const merging direct{.reads = true, .writes = true, .is_direct = true};
  CHECK(direct.allows(with(4096, 8192)));
  CHECK(direct.allows(with(4096, asioq::current_position)));
  CHECK_FALSE(direct.allows(with(512, 0)));
  CHECK_FALSE(direct.allows(with(4608, 0)));
  CHECK_FALSE(direct.allows(with(4096, 512)));
  request_record& inside = with(4096, 0);
  inside.data += 512;
  CHECK_FALSE(direct.allows(inside));
  const merging plain{.reads = true, .writes = false, .is_direct = false};
  CHECK(plain.allows(with(1, 3)));
  CHECK_FALSE(plain.allows(store.make(asio_op::write, 3, 1, 3)));
  CHECK_FALSE(plain.allows(store.make(asio_op::write_back, 3, 1, 3)));
}

TEST_CASE("regular files of local file systems may be merged, and nothing else", "[merging]") {
  const descriptor file = temp_file();
  if (const merging its = allowed(file); its.reads) {  // unless the tests run on another file system
    CHECK(its.writes);
    CHECK_FALSE(its.is_direct);
    for (const int flags : {O_RDWR | O_SYNC, O_RDWR | O_DSYNC}) {
      CHECK(allowed(reopen(file, flags)).reads);
      CHECK_FALSE(allowed(reopen(file, flags)).writes);
    }
    merging_probe probe;  // the file is known, its descriptors are not
    CHECK(probe(file.get()).writes);
    const descriptor synchronous = reopen(file, O_RDWR | O_DSYNC);
    CHECK_FALSE(probe(synchronous.get()).writes);
    CHECK(probe(file.get()).writes);
  }
  const pipe_ends pipe;
  for (const descriptor* const one : {&pipe.read_end, &pipe.write_end}) CHECK_FALSE(allowed(*one).reads);
  for (const char* const path : {"/dev/null", "/dev/zero", "/proc/self/status", "/proc/self/mem", "/"})
    CHECK_FALSE(allowed(open_path(path, O_RDONLY)).reads);
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  const descriptor one{fds[0]};
  const descriptor two{fds[1]};
  CHECK_FALSE(allowed(one).writes);
  CHECK_FALSE(merging_probe()(1'000'000'000).reads);
}

TEST_CASE("files that write at once are not merged for writes", "[merging]") {
  const descriptor file = temp_file();
  int attributes = 0;
  if (::ioctl(file.get(), FS_IOC_GETFLAGS, &attributes) != 0 ||
      (attributes |= FS_SYNC_FL, ::ioctl(file.get(), FS_IOC_SETFLAGS, &attributes) != 0)) {
    WARN("skipped: no chattr +S here");
    return;
  }
  CHECK(allowed(file).reads);
  CHECK_FALSE(allowed(file).writes);
}

TEST_CASE("each local file system may be merged, and not where it is mounted with -o sync", "[merging][mount]") {
  for (const std::string type : {"ext4", "xfs", "btrfs", "tmpfs"}) {
    for (const bool sync : {false, true}) {
      const std::optional<descriptor> file = file_on(type, sync);
      if (!file) {
        WARN("skipped: no " << type << " can be mounted");
        continue;
      }
      INFO(type << (sync ? " -o sync" : ""));
      CHECK(allowed(*file).reads);
      CHECK(allowed(*file).writes == !sync);
    }
  }
}

TEST_CASE("disks may be merged", "[merging][mount]") {
  const std::optional<failing_disk> disk = failing_disk::make(1 << 20, 1 << 20);
  if (!disk) {
    WARN(no_loop_devices);
    return;
  }
  CHECK(allowed(disk->device()).reads);
  CHECK(allowed(disk->device()).writes);
}
