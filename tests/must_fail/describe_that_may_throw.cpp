// A describe() that may throw is refused, rather than not asked.
// expect: describe\(int\) of an io_executor must be const noexcept
#include <asioq/asioq.hpp>

struct engine {
  void start(asioq::io_operation&) const {}
  void poll() const {}
  void wait_until(std::chrono::steady_clock::time_point) const {}
#ifdef CORRECTED
  asioq::file_facts describe(int) const noexcept { return {}; }
#else
  asioq::file_facts describe(int) const { return {}; }
#endif
  bool operator==(const engine&) const = default;
};

asioq::basic_asio_queue<engine> queue{engine{}};
