// A disk behind a FUSE server that fails, delays and reorders, and what its callers are told of it.
#include <asioq/asioq.hpp>
#ifdef ASIOQ_TEST_URING
#include <asioq/uring.hpp>
#endif

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>

#include "catch.hpp"
#include "faulted_run.hpp"
#include "fuse.hpp"
#include "hosts.hpp"

using namespace asioq_test;

namespace {

descriptor empty_file(const fuse_disk& disk, const char* name) {
  descriptor file = disk.open(name, O_RDWR);
  if (::ftruncate(file.get(), 0) != 0) throw_errno("ftruncate");
  return file;
}

/// The kernel itself `asks_again` for the rest of a short transfer, and says nothing if that fails: the queue's own
/// question may then succeed.
template <class Host>
void run_on_noisy_disk(bool asks_again) {
  const std::unique_ptr<fuse_disk> disk = fuse_disk::make({});
  if (!disk) {
    WARN(no_fuse);
    return;
  }
  // Which request an error is of, the server does not say. But no request fails without one, and each is told of.
  constexpr made_failure any_error{asioq::asio_op::free, EIO};
  std::uint64_t all_failures = 0;
  for (const std::uint64_t one_in : {40U, 8U})
    for (int round = 0; round < 2; ++round)
      in_every_manner([&](const run_manner& manner) {
        faulted_run<Host> run(manner,
                              {empty_file(*disk, "noisy0"), empty_file(*disk, "noisy1"), empty_file(*disk, "noisy2")});
        const std::uint64_t before = disk->failures();
        disk->make_noise(one_in);
        run.run();
        disk->make_noise(0);
        const std::uint64_t failures = disk->failures() - before;
        all_failures += failures;
        INFO(name_of(manner) << ", one message in " << one_in);
        if (const std::string complaint = run.check({&any_error, 1}); !complaint.empty()) FAIL_CHECK(complaint);
        // At its destruction a queue says nothing of reads.
        const bool is_told_of_all = manner.way != collecting::at_destruction && !asks_again;
        if (run.failures(EIO) > failures || (is_told_of_all && run.failures(EIO) < failures))
          FAIL_CHECK(run.failures(EIO) << " requests have failed, and " << failures << " messages");
      });
  CHECK(all_failures > 50);
}

}  // namespace

TEST_CASE("a disk that fails, delays and reorders, on a pool", "[crash][fuse]") { run_on_noisy_disk<pool_host>(false); }
#ifdef ASIOQ_TEST_URING
TEST_CASE("a disk that fails, delays and reorders, on io_uring", "[crash][fuse]") {
  if (!asioq::uring_context::available()) {
    WARN("skipped: io_uring is not to be had");
    return;
  }
  run_on_noisy_disk<uring_host>(true);
}
#endif
