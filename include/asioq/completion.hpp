#pragma once

/// @file
/// By which a finished request finds the part of the program that waits for it.

namespace asioq {

class asio_request;

/// What a request submitted with a receiver is given to when it has finished.
///
/// Embed it in what waits: a stream, a connection, the frame of a coroutine. The queue keeps its address from `submit`
/// until it calls `finished`, and allocates nothing for it. The receiver must live that long. One receiver may wait for
/// any number of requests.
class completion {
 public:
  /// Gets a finished request, whatever it is and however it went: successful, failed or cancelled, write-backs
  /// included. Called exactly once for each submission, on the thread of the queue's owner, inside a call that delivers
  /// (`poll`, `run_one`, the waits, the destructor of the queue), in the order of submission.
  ///
  /// May call everything on the queue, except its destructor and what delivers, which throws `std::system_error`
  /// (`std::errc::resource_deadlock_would_occur`). May submit again, and destroy the receiver itself. A submission from
  /// here never nests another call of `finished`, so that chains of any length need no stack. While the queue is being
  /// destroyed `submit` throws (`std::errc::operation_not_permitted`).
  virtual void finished(asio_request request) noexcept = 0;

 protected:
  completion() = default;
  completion(const completion&) = default;
  completion& operator=(const completion&) = default;
  ~completion() = default;
};

}  // namespace asioq
