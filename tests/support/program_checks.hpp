// The rules that the history of a random program must keep, and what it must have in common with that of a strict run.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/operation.hpp>
#include <asioq/options.hpp>
#include <asioq/request.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

#include "playground.hpp"
#include "program.hpp"
#include "program_run.hpp"

namespace asioq_test {

namespace programs {

/// Whether the requests of one file must not run at the same time, to say the least.
inline bool conflict(const program::step& first, const program::step& second, const playground& files) {
  using asioq::asio_op;
  const playground::target& its = files.targets()[first.target];
  const playground::target& others = files.targets()[second.target];
  if (its.where != others.where || its.where == playground::none) return false;
  const auto writes = [](const program::step& step) {
    return step.op == asio_op::write || step.op == asio_op::write_back;
  };
  const auto resizes = [](const program::step& step) {
    return step.op == asio_op::truncate || step.op == asio_op::allocate;
  };
  if (resizes(first) || resizes(second)) return true;
  const auto whole = [&](const program::step& step, const playground::target& target) {
    return step.offset == asioq::current_position || (writes(step) && target.appends) ||
           target.where >= playground::regular_files;
  };
  if (whole(first, its) || whole(second, others)) return first.length != 0 && second.length != 0;
  return (writes(first) || writes(second)) && first.offset < second.offset + second.length &&
         second.offset < first.offset + first.length;
}

/// Whether the syncs failed that had to: with the error of the oldest failed one of the same file that no resume() has
/// acknowledged, and else for no other reason but that the disk said so.
///
/// For disks on which all happens inside the calls of the queue's owner, so that it is known what a resume()
/// acknowledges.
inline std::string check_syncs(const program& its, const history& tested, const playground& files,
                               std::size_t failures) {
  struct failed_sync {
    std::size_t index;
    playground::file file;
    int error;
  };
  std::vector<failed_sync> failed;  // by itself, not because an earlier one had
  for (const returned& one : tested.returns) {
    const playground::file file = files.targets()[its.steps[one.index].target].where;
    const bool is_sync = one.op == asioq::asio_op::fsync || one.op == asioq::asio_op::fdatasync;
    if (!is_sync || file >= playground::regular_files || one.error == ECANCELED) continue;
    const std::string which = " (step " + std::to_string(one.index) + ")";
    const auto earlier = std::ranges::find_if(failed, [&](const failed_sync& other) {
      return other.file == file && other.index >= tested.acknowledged[one.index].most;
    });
    if (earlier != failed.end() && one.error != earlier->error) return "a failed sync is forgotten" + which;
    if (earlier != failed.end() || one.error == 0) continue;
    if (failures-- == 0) return "a sync fails without a reason" + which;
    failed.push_back({one.index, file, one.error});
  }
  return failures == 0 ? "" : "a failed sync was not reported";
}

/// Whether those requests were cancelled that had to be, and no others that must not.
inline std::string check_hold(const program& its, const history& tested, const playground& files) {
  const std::vector<bool> failed = tested.with_error(0);
  const std::vector<bool> cancelled = tested.with_error(ECANCELED);
  std::vector<std::size_t> failures;  // by themselves
  for (std::size_t i = 0; i < its.steps.size(); ++i) {
    const acknowledgement& known = tested.acknowledged[i];
    const std::string which = " (step " + std::to_string(i) + ")";
    if (cancelled[i]) {
      const bool may_be = !failures.empty() && failures.back() >= known.least;
      if (its.on_failure == asioq::failure_policy::proceed || !may_be)
        return "cancelled without a failure before it" + which;
      continue;
    }
    if (its.on_failure == asioq::failure_policy::proceed) continue;
    if (tested.late[i]) return "ran though a failure had come back" + which;
    for (const std::size_t failure : failures) {
      if (failure < known.most) continue;
      if (its.max_in_flight == 1) return "ran after a failure" + which;
      const bool may_be_passed = its.syncs_are_passed && asioq::traits_of(its.steps[failure].op).is_sync;
      if (!may_be_passed && conflict(its.steps[failure], its.steps[i], files))
        return "ran though it had to wait for a failed one, " + std::to_string(failure) + which;
    }
    if (failed[i]) failures.push_back(i);
  }
  return {};
}

inline std::string describe(const returned& one) {
  std::ostringstream text;
  text << "step " << one.index << " with error " << one.error << " and " << one.bytes << " bytes, hash " << std::hex
       << one.hash;
  return text.str();
}

inline std::string difference(const history& tested, const history& strict, const std::vector<bool>& cancelled) {
  if (!strict.complaint.empty()) return "in the strict run: " + strict.complaint;
  std::vector<returned> left = tested.returns;
  std::erase_if(left, [&](const returned& one) { return cancelled[one.index]; });
  const std::vector<returned>& expected = strict.returns;
  // The strict run collects elsewhere, but in order too.
  for (std::size_t i = 0; i < std::max(left.size(), expected.size()); ++i) {
    if (i < left.size() && i < expected.size() && left[i] == expected[i]) continue;
    return (i < left.size() ? describe(left[i]) : "nothing more") + " instead of " +
           (i < expected.size() ? describe(expected[i]) : "nothing more");
  }
  for (std::size_t i = 0; i < tested.remains.size(); ++i)
    if (tested.remains[i] != strict.remains[i]) return "something else remains at place " + std::to_string(i);
  if (tested.synced && strict.synced && *tested.synced != *strict.synced) return "a sync has found something else";
  return {};
}

}  // namespace programs

}  // namespace asioq_test
