#pragma once

#include <asioq/detail/failure_log.hpp>
#include <asioq/detail/file_probe.hpp>
#include <asioq/detail/request_block.hpp>
#include <asioq/detail/transfer.hpp>
#include <asioq/file_facts.hpp>

namespace asioq::detail {

/// Carries out one request of a serial order, or ends it with the error that an earlier failure decides; blocks.
/// Records its own failure. Returns whether it succeeded.
inline bool carry_out(request_block& block, failure_log& failures, const file_probe& probe) noexcept {
  block.error = failures.admits(block, failures.needs_file(block) ? probe.identity(block.fd) : file_identity{});
  if (block.error == 0) {
    finish(block);
    if (block.error != 0)
      failures.record(block, failure_log::needs_file_of_failed(block) ? probe.identity(block.fd) : file_identity{});
  }
  failures.finished(block);
  return block.error == 0;
}

}  // namespace asioq::detail
