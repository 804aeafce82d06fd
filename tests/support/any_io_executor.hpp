// An executor that carries out file operations, whatever it is.
#pragma once

#include <asioq/io_executor.hpp>

#include <chrono>
#include <system_error>

namespace asioq_test {

/// An engine whose type is hidden, so that tests are compiled once for all of them.
class io_engine_base {
 public:
  virtual ~io_engine_base() = default;
  virtual void start(asioq::io_operation& operation) = 0;
  virtual void poll() = 0;
  virtual void wait_until(std::chrono::steady_clock::time_point deadline) = 0;
  /// An engine that cannot end what has begun.
  virtual void cancel(asioq::io_operation& /*operation*/) noexcept {}
  /// An engine without a descriptor.
  virtual int native_handle() {
    throw std::system_error(std::make_error_code(std::errc::operation_not_supported), "no descriptor");
  }
  virtual void keep_readable(bool /*on*/) noexcept {}
};

class any_io_executor {
 public:
  explicit any_io_executor(io_engine_base& engine) : engine_(&engine) {}
  void start(asioq::io_operation& operation) const { engine_->start(operation); }
  void poll() const { engine_->poll(); }
  void wait_until(std::chrono::steady_clock::time_point deadline) const { engine_->wait_until(deadline); }
  void cancel(asioq::io_operation& operation) const noexcept { engine_->cancel(operation); }
  [[nodiscard]] int native_handle() const { return engine_->native_handle(); }
  void keep_readable(bool on) const noexcept { engine_->keep_readable(on); }
  bool operator==(const any_io_executor&) const = default;

 private:
  io_engine_base* engine_;
};

}  // namespace asioq_test
