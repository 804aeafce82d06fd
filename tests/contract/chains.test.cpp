// What a request costs does not depend on how many are unfinished, whatever they wait for.
#include "any_io_executor.hpp"
#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

#include <ctime>
#include <new>
#include <vector>

using namespace asioq_test;
using asioq::asio_op;

namespace {

/// Succeeds at once, one operation after another: what is left is the cost of the queue.
class nothing_engine : public io_engine_base {
 public:
  void start(asioq::io_operation& operation) override { waiting_.push_back(&operation); }
  void poll() override {
    if (waiting_.empty()) return;
    asioq::io_operation& operation = *waiting_.back();
    waiting_.pop_back();
    operation.complete(static_cast<std::int64_t>(operation.buffer().size()));
  }
  void wait_until(std::chrono::steady_clock::time_point) override { poll(); }

 private:
  std::vector<asioq::io_operation*> waiting_;
};

alignas(asioq::buffer_alignment) std::byte shared_buffer[asioq::buffer_alignment];

/// All buffers are one: their contents do not matter, and 100 000 of them would be much.
template <class T>
struct one_buffer_allocator {
  using value_type = T;
  one_buffer_allocator() = default;
  template <class U>
  one_buffer_allocator(const one_buffer_allocator<U>&) noexcept {}
  T* allocate(std::size_t count) {
    if constexpr (alignof(T) == asioq::buffer_alignment) return reinterpret_cast<T*>(shared_buffer);
    return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{alignof(T)}));
  }
  void deallocate(T* memory, std::size_t) noexcept {
    if constexpr (alignof(T) != asioq::buffer_alignment) ::operator delete(memory, std::align_val_t{alignof(T)});
  }
  template <class U>
  bool operator==(const one_buffer_allocator<U>&) const noexcept {
    return true;
  }
};

double seconds_of_this_thread() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// `prepare(request, i, n)` prepares the i-th of n requests.
template <class Prepare>
double seconds_for(asioq::execution_order order, std::uint64_t count, Prepare prepare) {
  nothing_engine engine;
  asioq::basic_asio_queue<any_io_executor, one_buffer_allocator<std::byte>> queue{
      any_io_executor(engine), {.buffer_size = 4096, .max_writebacks = std::size_t{1} << 40, .order = order}};
  const double begin = seconds_of_this_thread();
  for (std::uint64_t i = 0; i < count; ++i) {
    asioq::asio_request request = queue.get();
    prepare(request, i, count);
    queue.submit(std::move(request));
  }
  std::uint64_t wrong = 0;
  while (const asioq::asio_request done = queue.wait()) wrong += done.error() ? 1 : 0;
  CHECK(wrong == 0);
  CHECK(queue.completed_through() == count);
  return seconds_of_this_thread() - begin;
}

template <class Prepare>
void check_is_linear(const char* what, Prepare prepare) {
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    INFO(what << (order == asioq::execution_order::strict ? ", strict" : ", as if serial"));
    double some = seconds_for(order, 2000, prepare);
    double many = seconds_for(order, 8000, prepare);
    // What else the machine does only adds to either: the least of several is what it takes.
    for (int i = 0; i < 10 && (i < 2 || many >= 8 * some); ++i) {
      some = std::min(some, seconds_for(order, 2000, prepare));
      many = std::min(many, seconds_for(order, 8000, prepare));
    }
    INFO(some << " s, " << many << " s");
    CHECK(many < 8 * some);
  }
}

}  // namespace

TEST_CASE("chains take linear time", "[chains]") {
  const descriptor file = temp_file_with("x");
  const descriptor same = reopen(file, O_RDWR);
  const descriptor appending = reopen(file, O_RDWR | O_APPEND);
  using request = asioq::asio_request;
  check_is_linear("appends",
                  [&](request& its, std::uint64_t, std::uint64_t) { its.prepare_write(appending.get(), 8, 0); });
  check_is_linear("reads at the position",
                  [&](request& its, std::uint64_t, std::uint64_t) { its.prepare_read(file.get(), 8); });
  check_is_linear("fsyncs", [&](request& its, std::uint64_t i, std::uint64_t) {
    its.prepare_fsync(i % 2 == 0 ? file.get() : same.get());
  });
  check_is_linear("truncates",
                  [&](request& its, std::uint64_t i, std::uint64_t) { its.prepare_truncate(file.get(), i % 7); });
  check_is_linear("falling neighbours", [&](request& its, std::uint64_t i, std::uint64_t count) {
    its.prepare_write(file.get(), 16, (count - i) * 8);
  });
  check_is_linear("rising neighbours",
                  [&](request& its, std::uint64_t i, std::uint64_t) { its.prepare_write(file.get(), 16, i * 8); });
  check_is_linear("nested, falling begins", [&](request& its, std::uint64_t i, std::uint64_t count) {
    its.prepare_write(file.get(), std::min<std::uint64_t>(4096, i + 1), count - i);
  });
  check_is_linear("nested, from the outside", [&](request& its, std::uint64_t i, std::uint64_t count) {
    its.prepare_write(file.get(), std::max<std::uint64_t>(1, std::min<std::uint64_t>(4096, 2 * (count - i))), i);
  });
  check_is_linear("the same bytes", [&](request& its, std::uint64_t i, std::uint64_t) {
    if (i % 2 == 0)
      its.prepare_write(file.get(), 8, 100);
    else
      its.prepare_read(same.get(), 8, 100);
  });
  check_is_linear("reads at the end, and appends now and then", [&](request& its, std::uint64_t i, std::uint64_t) {
    if (i % 10 == 0)
      its.prepare_write(appending.get(), 8, 0);
    else
      its.prepare_read(file.get(), 8, 1000);
  });
  check_is_linear("reads of all bytes behind writes of each", [&](request& its, std::uint64_t i, std::uint64_t count) {
    const std::uint64_t third = count / 3;
    if (i < third)
      its.prepare_write(file.get(), i + 1, third - 1 - i);
    else if (i < 2 * third)
      its.prepare_write(file.get(), 1, 2 * third - 1 - i);
    else
      its.prepare_read(same.get(), third, 0);
  });
  check_is_linear("writes of each byte behind reads of all", [&](request& its, std::uint64_t i, std::uint64_t count) {
    if (i < count / 2)
      its.prepare_read(file.get(), count / 2, 0);
    else
      its.prepare_write(same.get(), 1, i - count / 2);
  });
  check_is_linear("old short ones, young long ones", [&](request& its, std::uint64_t i, std::uint64_t count) {
    const std::uint64_t third = count / 3;
    if (i < 2 * third)
      its.prepare_write(file.get(), 1, 2 * (i % third));
    else
      its.prepare_write(same.get(), 4096, 2 * (i - 2 * third) + 1);
  });
  check_is_linear("write-backs, and a read now and then", [&](request& its, std::uint64_t i, std::uint64_t) {
    if (i % 100 == 99)
      its.prepare_read(same.get(), 8, i * 8);
    else
      its.prepare_write_back(file.get(), 8, i * 8);
  });
}

TEST_CASE("100 000 in a chain are a matter of a second", "[chains]") {
  const descriptor file = temp_file_with("x");
  const descriptor appending = reopen(file, O_RDWR | O_APPEND);
  for (const auto order : {asioq::execution_order::strict, asioq::execution_order::as_if_serial}) {
    CHECK(seconds_for(order, 100'000, [&](asioq::asio_request& its, std::uint64_t i, std::uint64_t) {
            if (i % 3 == 0)
              its.prepare_write(appending.get(), 8, 0);
            else
              its.prepare_write(file.get(), 16, (200'000 - i) * 8);
          }) < 10);
  }
}

TEST_CASE("what a wait looks at does not grow with the write-backs that are outstanding", "[chains]") {
  const descriptor null = open_path("/dev/null", O_RDWR);
  const auto seconds = [&](std::size_t outstanding) {
    pumped_sink sink;
    asioq::basic_asio_queue<custom_executor, one_buffer_allocator<std::byte>> queue{
        custom_executor{&sink}, {.buffer_size = 8, .max_writebacks = outstanding + 1}};
    for (std::size_t i = 0; i < outstanding; ++i) queue.submit(write_back_of(queue, null, "x"));
    const double begin = seconds_of_this_thread();
    for (int i = 0; i < 2000; ++i) static_cast<void>(queue.wait_until(std::chrono::steady_clock::time_point()));
    for (int i = 0; i < 2000; ++i) static_cast<void>(queue.try_wait());
    for (int i = 0; i < 2000; ++i) static_cast<void>(queue.running_writebacks());
    const double spent = seconds_of_this_thread() - begin;
    queue.sync();
    return spent;
  };
  const double few = seconds(10);
  CHECK(seconds(20'000) < 10 * few + 0.005);
}
