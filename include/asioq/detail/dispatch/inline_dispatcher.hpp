#pragma once

#include <asioq/detail/dispatch/carry_out.hpp>
#include <asioq/detail/dispatch/dispatcher.hpp>
#include <asioq/detail/order/failure_log.hpp>
#include <asioq/detail/order/file_probe.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/support/wake.hpp>
#include <asioq/options.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace asioq::detail {

/// Carries out each request inside `submit`, on the owner's thread. Both orders are the same here, since no request
/// ever waits for another.
class inline_dispatcher final : public dispatcher {
 public:
  explicit inline_dispatcher(failure_policy on_failure) : failures_(on_failure) {}

  void submit(request_record& record) override {
    carry_out(record, failures_, file_probe());
    // Relaxed: the only reader is this thread.
    finished_.store(finished_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  void poll(std::uint64_t /*submitted*/) override {}
  void await(std::uint64_t /*seen*/, std::uint64_t /*target*/) noexcept override {}
  void await_until(std::uint64_t /*seen*/, std::uint64_t /*target*/,
                   std::chrono::steady_clock::time_point /*deadline*/) override {}
  void cancel(request_record* /*oldest*/) noexcept override {}
  int native_handle() override { return wake_.descriptor(); }
  void set_readable() noexcept override { wake_.set_readable(); }
  bool watch(std::uint64_t /*submitted*/, std::uint64_t seen, std::uint64_t target) noexcept override {
    wake_.watch(target);
    return finished() == seen;
  }
  void leave() noexcept override { delete this; }

 private:
  failure_log failures_;
  wake wake_;  // for its descriptor: no other party finishes anything
};

}  // namespace asioq::detail
