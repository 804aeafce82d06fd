// Executors that run a task inside `execute` when they are called on a thread of their own: always, or now and then.
#include "catch.hpp"
#include "child.hpp"
#include "every_executor.hpp"
#include "requests.hpp"
#include "seed.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <latch>
#include <optional>
#include <semaphore>
#include <utility>

using namespace asioq_test;

namespace {

/// A pool whose own threads run what they are given at once, or do so with some chance.
class nesting_pool : public task_sink {
 public:
  nesting_pool(std::size_t threads, unsigned percent_inside, std::uint64_t seed)
      : percent_inside_(percent_inside), random_(seed), pool_(threads) {}

  void execute(asioq::task work) override {
    if (depth_of_ == this && chooses_inside()) {
      deepest_ = std::max(deepest_.load(), ++nesting_);
      work();
      --nesting_;
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(work);
    }
    pool_.executor().execute(asioq::task{[](void* its) noexcept { static_cast<nesting_pool*>(its)->run_one(); }, this});
  }

  /// How deep `execute` has ever been inside itself.
  [[nodiscard]] int deepest() const { return deepest_; }

 private:
  bool chooses_inside() {
    const std::lock_guard lock(mutex_);
    return random_() % 100 < percent_inside_;
  }

  void run_one() noexcept {
    std::unique_lock lock(mutex_);
    const asioq::task work = tasks_.front();
    tasks_.pop_front();
    lock.unlock();
    depth_of_ = this;
    work();
    depth_of_ = nullptr;
  }

  static thread_local nesting_pool* depth_of_;  // the pool whose thread this is
  static thread_local int nesting_;

  const unsigned percent_inside_;
  std::mutex mutex_;  // protects random_ and tasks_
  std::mt19937_64 random_;
  std::deque<asioq::task> tasks_;
  std::atomic<int> deepest_ = 0;
  asioq::thread_pool pool_;  // last: runs what is left
};

thread_local nesting_pool* nesting_pool::depth_of_ = nullptr;
thread_local int nesting_pool::nesting_ = 0;

/// One thread. When it has a task to hand over, it first runs those that wait, inside `execute`.
class caller_runs_sink : public task_sink {
 public:
  void execute(asioq::task work) override {
    if (std::this_thread::get_id() == thread_.get_id()) run_all_inside();
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(work);
    }
    waiting_.release();
  }

  [[nodiscard]] bool is_inside() const { return is_inside_; }

  /// Waits until a task has begun inside `execute`.
  [[nodiscard]] bool comes_inside() { return began_inside_.try_acquire_for(std::chrono::seconds(30)); }

  ~caller_runs_sink() override {
    is_stopping_ = true;
    waiting_.release();
    thread_.join();
  }

 private:
  void run_all_inside() {
    while (waiting_.try_acquire()) {
      is_inside_ = true;
      began_inside_.release();
      run_one();
    }
    is_inside_ = false;
  }

  void run_one() {
    std::unique_lock lock(mutex_);
    const asioq::task next = tasks_.front();
    tasks_.pop_front();
    lock.unlock();
    next();
  }

  void work() {
    for (;;) {
      waiting_.acquire();
      if (is_stopping_ && is_empty()) return;
      run_one();
    }
  }

  bool is_empty() {
    const std::lock_guard lock(mutex_);
    return tasks_.empty();
  }

  std::mutex mutex_;  // protects tasks_
  std::deque<asioq::task> tasks_;
  std::counting_semaphore<> waiting_{0};  // for each task, and for the stop
  std::counting_semaphore<> began_inside_{0};
  std::atomic<bool> is_inside_ = false;
  std::atomic<bool> is_stopping_ = false;
  std::thread thread_{[this] { work(); }};
};

/// A queue whose worker has come to the end of a turn, and inside `execute` runs another queue's task, which waits for
/// `answer`.
class held_up_queue {
 public:
  static constexpr std::uint64_t count = 200;  // some turns

  explicit held_up_queue(asioq::execution_order order)
      : queue_(std::in_place, custom_executor{&sink_},
               asioq::queue_options{.buffer_size = 1, .order = order, .max_in_flight = 1}) {
    queue_->submit(read_of(*queue_, gate_.read_end, 1));
    for (std::uint64_t i = 1; i < count; ++i) queue_->submit(read_of(*queue_, file_, 1, 0));
    other_.submit(read_of(other_, question_.read_end, 1));
    gate_.put("x");
    if (!sink_.comes_inside()) throw std::runtime_error("the worker has not called the executor");
  }
  held_up_queue(const held_up_queue&) = delete;
  held_up_queue& operator=(const held_up_queue&) = delete;
  ~held_up_queue() { answer(); }

  asioq::basic_asio_queue<custom_executor>& operator*() { return *queue_; }
  [[nodiscard]] bool is_held_up() const { return sink_.is_inside(); }
  void answer() { question_.write_end.reset(); }  // the end of the file
  void destroy() { queue_.reset(); }

 private:
  const descriptor file_ = temp_file_with("x");
  const pipe_ends gate_;
  pipe_ends question_;
  caller_runs_sink sink_;
  std::optional<asioq::basic_asio_queue<custom_executor>> queue_;
  asioq::basic_asio_queue<custom_executor> other_{custom_executor{&sink_}, {.buffer_size = 1}};
};

/// Without threads. Once, when a task calls it, it does something of the program's inside `execute`.
class intruding_sink : public task_sink {
 public:
  void execute(asioq::task work) override {
    tasks_.push_back(work);
    if (is_working_ && intrusion) std::exchange(intrusion, nullptr)();
  }

  void run_all() {
    is_working_ = true;
    for (; !tasks_.empty(); tasks_.pop_front()) tasks_.front()();
    is_working_ = false;
  }

  std::function<void()> intrusion;

 private:
  std::deque<asioq::task> tasks_;
  bool is_working_ = false;
};

template <class Body>
void on_nesting_pools(Body body) {
  in_every_order([&](asioq::execution_order order) {
    for (const unsigned percent : {100U, 30U}) {
      for (const std::size_t threads : {1U, 3U}) {
        DYNAMIC_SECTION(threads << " threads that run " << percent << " % of their own tasks at once") {
          nesting_pool sink{threads, percent, run_seed()};
          body(world<custom_executor>{{&sink}, nullptr, true, order});
          CHECK(sink.deepest() <= 2);
        }
      }
    }
  });
}

}  // namespace

TEST_CASE("60 000 requests that become ready at once need no deeper stack", "[nested]") {
  constexpr std::uint64_t count = 60'000;
  on_nesting_pools([](const auto& world) {
    const descriptor null = open_path("/dev/null", O_WRONLY);
    const descriptor file = temp_file_with("x");
    auto queue = world.queue({.buffer_size = 1, .max_writebacks = count});
    std::uint64_t wrong = 0;
    queue.submit(fsync_of(queue, file));
    for (std::uint64_t i = 0; i < count; ++i) {
      asioq::asio_request request = queue.get();
      request.prepare_read(file.get(), 1, 0);
      queue.submit(std::move(request));
      if (i % 2 == 0) continue;  // half of them wait all the time
      while (const asioq::asio_request done = queue.try_wait()) wrong += done.error() ? 1 : 0;
    }
    queue.sync();
    while (const asioq::asio_request done = queue.wait()) wrong += done.error() ? 1 : 0;
    CHECK(wrong == 0);
    CHECK(queue.completed_through() == count + 1);
    CHECK(queue.allocated_requests() == 0);
  });
}

TEST_CASE("two queues on such an executor do not get in each other's way", "[nested]") {
  on_nesting_pools([](const auto& world) {
    const descriptor file = temp_file();
    auto one = world.queue({.buffer_size = 64});
    auto two = world.queue({.buffer_size = 64});
    for (std::uint64_t i = 0; i < 500; ++i) {
      one.submit(write_back_of(one, file, "one", i * 8));
      two.submit(write_back_of(two, file, "two", i * 8 + 4));
      if (i % 50 == 0) two.submit(fsync_of(two, file));
    }
    one.sync();
    two.sync();
    while (two.wait()) {
    }
    CHECK(contents(file).size() == 499 * 8 + 7);
  });
}

TEST_CASE("a request that waits for what another of the queue sets going does not wait for ever", "[nested]") {
  on_nesting_pools([](const auto& world) {
    if (world.order == asioq::execution_order::strict) return;  // one after another they do not overlap
    const pipe_ends there;
    const pipe_ends back;
    std::jthread echo([&] {  // what is written to one pipe can be read from the other
      for (std::string text = there.take(4); !text.empty() && text != "stop"; text = there.take(4)) back.put(text);
    });
    {
      auto queue = world.queue({.buffer_size = 64});
      const descriptor file = temp_file_with("x");
      for (int i = 0; i < 50; ++i) {
        for (std::uint64_t k = 0; k < 4; ++k) queue.submit(write_of(queue, file, "abcd", k * 4));
        queue.submit(write_of(queue, there.write_end, "ping"));
        queue.submit(read_of(queue, back.read_end, 4));
        if (i % 3 == 0) continue;
        const std::vector<outcome> all = drain(queue);
        CHECK(all.back().data == "ping");
      }
      CHECK_NOTHROW(queue.sync());
      drain(queue);
    }
    there.put("stop");
  });
}

TEST_CASE("a queue does not wait for another queue's task that runs inside `execute`", "[nested]") {
  in_every_order([](asioq::execution_order order) {
    held_up_queue queue(order);
    std::binary_semaphore done{0};
    bool hangs = false;
    std::jthread answers([&] {
      hangs = !done.try_acquire_for(std::chrono::seconds(20));
      queue.answer();
    });
    CHECK_NOTHROW((*queue).sync());
    CHECK(queue.is_held_up());
    done.release();
    answers.join();
    CHECK_FALSE(hangs);
    CHECK(drain(*queue).size() == queue.count);
  });
}

TEST_CASE("a queue goes only when its worker is no longer inside `execute`", "[nested]") {
  in_every_order([](asioq::execution_order order) {
    held_up_queue queue(order);
    drain(*queue);
    const std::jthread answers([&] { queue.answer(); });
    queue.destroy();
    CHECK_FALSE(queue.is_held_up());
  });
}

TEST_CASE("a queue may go inside `execute`, on the thread of its own worker", "[nested][lifetime]") {
  in_every_order([](asioq::execution_order order) {
    const ending end = run_in_child([order] {
      constexpr std::size_t count = 200;  // some turns
      const descriptor file = temp_file();
      intruding_sink sink;
      std::optional<asioq::basic_asio_queue<custom_executor>> queue;
      queue.emplace(custom_executor{&sink},
                    asioq::queue_options{.buffer_size = 1, .max_writebacks = count, .order = order});
      // They do not continue one another, so each is a request of its turn.
      for (std::size_t i = 0; i < count; ++i) queue->submit(write_back_of(*queue, file, "x", 2 * i));
      sink.intrusion = [&] { queue.reset(); };
      sink.run_all();
      return !queue && contents(file).size() == 2 * count - 1 ? 7 : 0;
    });
    CHECK(end.exit_code == 7);
    CHECK(end.errors.empty());
  });
}
