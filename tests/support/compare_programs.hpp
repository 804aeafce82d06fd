// Runs a random program as if serial, checks its history, and runs it again, strictly: the two must not differ.
// Without Catch2 and without the queue itself: see tests/mutations.
#pragma once

#include <asioq/options.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "any_io_executor.hpp"
#include "any_queue.hpp"
#include "faults.hpp"
#include "faulty_disk.hpp"
#include "playground.hpp"
#include "program.hpp"
#include "program_checks.hpp"
#include "program_run.hpp"
#include "random_program.hpp"

namespace asioq_test {

namespace programs {

/// A queue for a program, and what it is on if that is a simulated disk.
struct queue_for_program {
  std::unique_ptr<faulty_disk> disk;
  std::unique_ptr<any_queue> queue;
};

/// Runs a program as if serial on the queue that `make_tested()` makes, and then, as it went there, strictly on that of
/// `make_strict()`. Returns the first difference.
template <class MakeTested, class MakeStrict>
std::string compare(const program& its, const playground& files, MakeTested make_tested, MakeStrict make_strict) {
  const auto run = [&](queue_for_program on, const history* pattern) {
    files.reset(its.sizes);
    std::optional<file_size_limit> limit;
    if (its.size_limit != 0) limit.emplace(its.size_limit);
    program_run once(*on.queue, its, files, on.disk.get());
    history made = pattern == nullptr ? once.run() : once.run_like(*pattern);
    if (on.disk && pattern == nullptr && on.disk->most() > its.max_in_flight)
      made.complaint = "more were in flight than allowed";
    if (on.disk && made.complaint.empty()) made.complaint = check_syncs(its, made, files, on.disk->failed_syncs());
    return made;
  };
  const history tested = run(make_tested(), nullptr);
  if (!tested.complaint.empty()) return tested.complaint;
  const std::string wrong = check_hold(its, tested, files);
  return wrong.empty() ? difference(tested, run(make_strict(), &tested), tested.with_error(ECANCELED)) : wrong;
}

/// Both on simulated disks; `make(executor, options)` makes the queues.
template <class Make>
std::string compare_on_simulated_disks(const program& its, const playground& files, Make make) {
  const auto on_disk = [&](std::uint64_t seed, const asioq::queue_options& options) {
    auto disk = std::make_unique<faulty_disk>(seed, its, files);
    auto queue = make(any_io_executor(*disk), options);
    return queue_for_program{std::move(disk), std::move(queue)};
  };
  return compare(
      its, files, [&] { return on_disk(its.seed, its.options()); },
      [&] { return on_disk(its.seed + 1, its.strict_options()); });
}

/// Leaves out steps as long as what is left still goes wrong; returns that as text. `wrong(program)` is empty if not.
template <class Wrong>
std::string smallest(program its, const playground& files, Wrong wrong) {
  for (std::size_t size = its.steps.size() / 2; size > 0; size /= 2) {
    for (std::size_t at = 0; at + size <= its.steps.size();) {
      program less = its;
      const auto from = less.steps.begin() + static_cast<std::ptrdiff_t>(at);
      less.steps.erase(from, from + static_cast<std::ptrdiff_t>(size));
      if (wrong(less).empty())
        at += size;
      else
        its = std::move(less);
    }
  }
  std::ostringstream text;
  text << "max_in_flight " << its.max_in_flight << ", max_writebacks " << its.max_writebacks << ", buffer_size "
       << its.buffer_size << (its.on_failure == asioq::failure_policy::hold ? ", hold" : ", proceed");
  if (its.size_limit != 0) text << ", files limited to " << its.size_limit;
  if (its.syncs_fail) text << ", syncs fail";
  if (its.syncs_are_passed) text << ", syncs without a barrier";
  for (const bad_sector& bad : its.bad_sectors)
    text << "\n  cannot " << (bad.for_writes ? "write" : "read") << " file " << bad.file << " from " << bad.begin
         << " to " << bad.end;
  for (std::size_t i = 0; i < its.steps.size(); ++i) text << "\n  " << i << ": " << name_of(its.steps[i], files);
  return text.str() + "\nwhere it goes wrong so: " + wrong(its);
}

}  // namespace programs

}  // namespace asioq_test
