// The party that carries out the requests that are timed.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

namespace bench {

/// Carries out requests, all alike. What it needs for that is made by its constructor, and is not timed.
class worker {
 public:
  worker() = default;
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  virtual ~worker() = default;

  /// Begins and completes that many requests. Throws if one fails.
  virtual void run(std::size_t requests) = 0;

  /// Seconds that `run` takes. For those that time themselves to override.
  virtual double time(std::size_t requests) {
    const auto start = std::chrono::steady_clock::now();
    run(requests);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
};

/// Makes a worker; every pair has new ones.
using maker = std::function<std::unique_ptr<worker>()>;

/// A maker of workers of the type `Worker`, with copies of the arguments.
template <class Worker, class... Arguments>
maker make(const Arguments&... arguments) {
  return [=] { return std::make_unique<Worker>(arguments...); };
}

}  // namespace bench
