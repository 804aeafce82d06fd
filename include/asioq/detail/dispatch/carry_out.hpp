#pragma once

#include <asioq/detail/order/failure_log.hpp>
#include <asioq/detail/order/file_probe.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/transfer/transfer.hpp>
#include <asioq/file_facts.hpp>

#include <cerrno>

namespace asioq::detail {

/// Carries out one request of a serial order, or ends it with the error that an earlier failure or its cancellation
/// imposes. Blocks. Records the request's own failure. Returns whether it succeeded. The request's `error` is 0 before.
inline bool carry_out(request_record& record, failure_log& failures, const file_probe& probe) noexcept {
  if (record.must_not_begin())
    record.error = ECANCELED;
  else if (!failures.empty())
    record.error = failures.admits(record, failures.needs_file(record) ? probe.identity(record.fd) : file_identity{});
  if (record.error == 0) {
    finish(record);
    if (record.error != 0)
      failures.record(record, failure_log::needs_file_of_failed(record) ? probe.identity(record.fd) : file_identity{});
  }
  failures.finished(record);
  return record.error == 0;
}

}  // namespace asioq::detail
