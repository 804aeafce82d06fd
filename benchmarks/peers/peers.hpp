// The others: each carries out transfers as well as it can on one descriptor of one file, on one thread of the
// caller's. Each has a file of its own.
#pragma once

#include "../support/transfer.hpp"
#include "../support/worker.hpp"

namespace bench::peers {

/// A loop of pread(2) or pwrite(2), one at a time whatever the depth.
maker plain(const transfer& its);

/// io_uring by liburing, one ring without special features, as asioq uses it.
maker liburing(const transfer& its);

/// Standalone Asio's random_access_file, on io_uring.
maker asio_file(const transfer& its);

/// The same by coroutines, one for each request in flight; reads only.
maker asio_coroutines(const transfer& its);

/// libuv's uv_fs_read and uv_fs_write, on its pool of 4 threads.
maker libuv(const transfer& its);

/// aio_read(3) and aio_write(3), which in glibc are threads.
maker posix_aio(const transfer& its);

}  // namespace bench::peers
