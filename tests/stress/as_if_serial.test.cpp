#include <asioq/asioq.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "compare_programs.hpp"
#include "executors.hpp"
#include "random_program.hpp"
#include "seed.hpp"

#include <cstdlib>
#include <filesystem>
#include <iostream>

using namespace asioq_test;

namespace {

/// `normally`, or as many as the environment variable ASIOQ_PROGRAMS says.
std::uint64_t program_count(std::uint64_t normally) {
  const char* const wanted = std::getenv("ASIOQ_PROGRAMS");
  return wanted != nullptr ? std::stoull(wanted) : normally;
}

/// Makes programs and tries each; stops at the first that goes wrong, makes it smaller, and says how to repeat it.
template <class Wrong>
void try_programs(std::uint64_t count, const abilities& can, const playground& files, Wrong wrong) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t seed = run_seed() + i;  // so that the first of a run with this seed is the same
    const program its = programs::random_program(seed, files, can);
    const std::string first = wrong(its);
    if (first.empty()) continue;
    // Not through Catch2, which would break the lines.
    std::cout << "repeat with ASIOQ_SEED=" << seed << " ASIOQ_PROGRAMS=1 "
              << std::filesystem::read_symlink("/proc/self/exe").string() << " '[as_if_serial]'\n"
              << "what is needed of the program: " << programs::smallest(its, files, wrong) << '\n'
              << std::flush;
    FAIL(first);
  }
}

/// The same on an executor without simulated faults, compared with the inline executor.
template <class Executor>
void try_programs_on(const Executor& executor, std::uint64_t count, const abilities& can) {
  const playground files;
  try_programs(count, can, files, [&](const program& its) {
    return programs::compare(
        its, files, [&] { return programs::queue_for_program{nullptr, make_queue(executor, its.options())}; },
        [&] {
          return programs::queue_for_program{nullptr, make_queue(asioq::inline_executor{}, its.strict_options())};
        });
  });
}

}  // namespace

TEST_CASE("what runs as if serial ends as in strict order: on a disk that reorders and fails",
          "[random][as_if_serial]") {
  const playground files;
  // All on one thread: the sanitizers have seen what there is to see sooner.
  try_programs(program_count(sanitized ? 500 : 2000), {}, files, [&](const program& its) {
    return programs::compare_on_simulated_disks(its, files, make_queue<any_io_executor>);
  });
}

TEST_CASE("what runs as if serial ends as in strict order: on a disk that reorders", "[random][as_if_serial]") {
  simulated_disk disk{run_seed()};
  try_programs_on(any_io_executor(disk), program_count(sanitized ? 200 : 500),
                  {.pipes_by_offset = false, .simulated_faults = false});
}

TEST_CASE("what runs as if serial ends as in strict order: on a pool", "[random][as_if_serial]") {
  asioq::thread_pool pool{4};
  try_programs_on(pool.executor(), program_count(400), {.simulated_faults = false});
}

TEST_CASE("what runs as if serial ends as in strict order: on threads that reorder", "[random][as_if_serial]") {
  reordering_sink sink{run_seed()};
  try_programs_on(custom_executor{&sink}, program_count(200), {.simulated_faults = false});
}

#ifdef ASIOQ_TEST_URING
TEST_CASE("what runs as if serial ends as in strict order: on io_uring", "[random][as_if_serial][uring]") {
  if (!asioq::uring_context::available()) {
    WARN("skipped: io_uring is not to be had");
    return;
  }
  uring_engine engine;
  try_programs_on(any_io_executor(engine), program_count(400),
                  {.size_limit = false, .pipes_by_offset = false, .simulated_faults = false, .empty_pipes = false});
}
#endif
