#pragma once

/// @file
/// What a request asks for.

namespace asioq {

/// The operation of a request.
enum class asio_op {
  free,        ///< Nothing is prepared yet; such a request cannot be submitted.
  read,        ///< Fill the buffer from the file; the handle comes back from `wait()`.
  write,       ///< Write the buffer to the file; the handle comes back from `wait()`.
  write_back,  ///< Write and forget: recycled on success, comes back from `wait()` only when it failed.
  fsync,       ///< Make the file's data and metadata durable, in its place in the order: fsync(2).
  fdatasync,   ///< The same without metadata that reading does not need: fdatasync(2).
  truncate,    ///< Set the file's size: ftruncate(2).
  allocate,    ///< Reserve room for a range of the file: posix_fallocate(3).
  close        ///< Close the descriptor: close(2).
};

}  // namespace asioq
