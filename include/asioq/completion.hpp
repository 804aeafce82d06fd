#pragma once

/// @file
/// How a finished request finds the part of the program that waits for it.

namespace asioq {

class asio_request;

/// A receiver: the queue hands it each request that was submitted with it, once the request has finished.
///
/// Derive from it whatever waits: a stream, a connection, an object in the frame of a coroutine. The queue keeps the
/// receiver's address from `submit` until it calls `finished`, and allocates nothing for it. The receiver must live
/// that long. One receiver may wait for any number of requests, of any number of queues.
class completion {
 public:
  /// Gets a finished request of any kind, whether it succeeded, failed or was cancelled, write-backs included. The
  /// queue calls this exactly once for each submission, on its owner's thread, in the order of submission. It does so
  /// inside the calls that deliver: `poll`, `run_one`, the waits and the queue's destructor.
  ///
  /// It may call every member of the queue but the destructor, which ends the program, and the calls that deliver.
  /// Those throw `std::system_error` (`std::errc::resource_deadlock_would_occur`). It may submit again, and destroy the
  /// receiver. A submission from here never calls `finished` recursively, so a chain of submissions of any length needs
  /// no stack. While the queue is being destroyed `submit` throws (`std::errc::operation_not_permitted`).
  virtual void finished(asio_request request) noexcept = 0;

 protected:
  completion() = default;
  completion(const completion&) = default;
  completion& operator=(const completion&) = default;
  ~completion() = default;
};

}  // namespace asioq
