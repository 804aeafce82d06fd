#pragma once

/// @file
/// What a simulated disk can be told: how it behaves, how to open a file, where it is bad.

#include <asioq/testing/latency_model.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <system_error>

namespace asioq::testing {

/// What a sync that has failed leaves behind. One that was interrupted (EINTR) has done nothing in either case.
enum class failed_sync {
  /// Of what was dirty, the medium has a part, by the seed. The next sync does not try the rest again, and succeeds.
  /// Reads see the new data until the power is cut. Linux does that.
  drops_data,
  /// All stays dirty: the next sync tries again.
  keeps_data
};

/// How a simulated disk behaves, in the order that designated initialisers need. Rates are from 0 to 1.
struct disk_options {
  /// Chooses everything that is left to chance.
  std::uint64_t seed = 1;
  /// Bytes that the medium writes as a whole, > 0.
  std::size_t sector_size = 512;
  /// Bytes that all files may have together, in whole sectors. Writes beyond are short, then fail with ENOSPC.
  std::uint64_t capacity = std::uint64_t{1} << 30U;
  /// Whether what is in flight is begun in any order, by the seed. Else the device begins what comes first.
  bool reorders = true;
  /// How often a transfer of more than one byte is cut short. A read at the current position is not, because a program
  /// would take it for the end of the file.
  double short_transfers = 0.125;
  /// How often an operation other than close ends with EINTR and has done nothing.
  double interruptions = 0.0625;
  /// How often an operation fails with EIO. One that fails has done nothing but as `failed_sync` says, and a close that
  /// fails has closed.
  double errors = 0;
  /// See `failed_sync`.
  failed_sync on_failed_sync = failed_sync::drops_data;
  /// How long operations take.
  latency_model latency = {};
  /// Whether `log()` has anything.
  bool keeps_log = true;
  /// What offsets and lengths of transfers must be multiples of, > 0, as for files with O_DIRECT: the disk refuses
  /// others with EINVAL, and tells it to streams. It then cuts transfers short at such multiples only.
  std::size_t direct_alignment = 1;
};

/// How a descriptor of a simulated disk is to be opened.
struct open_mode {
  bool appends = false;  ///< Writes go to the end, whatever their offset: O_APPEND.
  bool creates = true;   ///< Makes the file if there is none: O_CREAT.
};

/// A place of a simulated disk where transfers fail. One that begins before it ends there, short.
struct bad_sector {
  std::string file;                                                  ///< Its name.
  std::uint64_t offset = 0;                                          ///< Where the place begins, in bytes.
  std::uint64_t length = std::numeric_limits<std::uint64_t>::max();  ///< How long it is; by default, without an end.
  bool reads = true;                                                 ///< Whether reads fail there.
  bool writes = true;                                                ///< Whether writes do.
  std::errc error = std::errc::io_error;                             ///< What they fail with.
};

}  // namespace asioq::testing
