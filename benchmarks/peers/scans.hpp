// The others that read a file from its beginning on, each as well as it can.
#pragma once

#include "../support/scan.hpp"
#include "../support/worker.hpp"

namespace bench::peers {

/// A loop of read(2) through the page cache, which reads ahead, all the more as it is told that the file is read from
/// one end to the other (POSIX_FADV_SEQUENTIAL).
maker scan_by_read(const scan& its);

/// A loop of pread(2) past the page cache, 2 MiB at a time, into a huge page.
maker scan_by_pread(const scan& its);

#ifdef ASIOQ_BENCHMARK_STXXL
/// The bufreader of a stxxl::vector that is the file: past the page cache by its linuxaio_file, in blocks of 2 MiB, its
/// default, with 8 buffers. It gives data out where it has read them to.
maker scan_by_stxxl(const scan& its);
#endif

/// fio, past the page cache by io_uring, 2 MiB each, 4 at a time. It does no work, and its memory is its own.
maker scan_by_fio(const scan& its);

}  // namespace bench::peers
