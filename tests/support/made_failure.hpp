// A failure that a test has made.
#pragma once

#include <asioq/asio_op.hpp>

namespace asioq_test {

/// A failure as the caller of the queue has to be told of it.
struct made_failure {
  asioq::asio_op op = asioq::asio_op::free;  // of the request that it ends; `free`: of none, or any
  int error = 0;                             // an errno value; EIO for a transfer that moves nothing
  int fd = -1;                               // of a sync
  bool is_short_read = false;                // none, but a read at the position that returns less
};

}  // namespace asioq_test
