#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"
#include "serial_model.hpp"

#include <chrono>
#include <sstream>

using namespace asioq_test;
using asioq::asio_op;

namespace {

/// Refuses one task in four, on whatever thread.
class moody_sink : public task_sink {
 public:
  moody_sink(task_sink& next, std::uint64_t seed) : next_(&next), random_(seed) {}

  void execute(asioq::task work) override {
    {
      const std::lock_guard lock(mutex_);
      if (random_() % 4 == 0) throw refusal();
    }
    next_->execute(work);
  }

 private:
  task_sink* next_;
  std::mutex mutex_;  // protects random_
  std::mt19937_64 random_;
};

/// Does what comes to its mind with one queue and compares it with the model. `complaint` has the first difference.
template <class Queue>
class program {
 public:
  program(Queue& queue, std::mt19937_64 random) : queue_(queue), random_(random), model_(queue.options().on_failure) {
    add(temp_file(), 0, manner::all);
    add(temp_file(), 1, manner::all);
    add(reopen(files_[0], O_RDWR), 0, manner::all);
    add(reopen(files_[0], O_RDONLY), 0, manner::read_only);
    add(reopen(files_[1], O_WRONLY), 1, manner::write_only);
    add(reopen(files_[1], O_RDWR | O_APPEND), 1, manner::append);
    add(open_path("/dev/full", O_RDWR), 2, manner::full);
  }

  std::string run(int steps) {
    for (int i = 0; i < steps && complaint_.empty(); ++i) {
      try {
        step();
      } catch (const refusal&) {  // of a timed wait or a submit, which then have done nothing
      }
      if (queue_.running_writebacks() > queue_.options().max_writebacks) complain("too many write-backs");
    }
    while (complaint_.empty() && model_.next() != nullptr) collect(queue_.wait(), true);
    if (complaint_.empty()) sync();
    for (const std::size_t file : {0U, 1U})
      if (complaint_.empty() && contents(files_[file]) != model_.content(file)) complain("another content");
    return complaint_;
  }

 private:
  void add(descriptor fd, std::size_t file, manner how) {
    model_.add(fd.get(), file, how);
    how_.push_back(how);
    files_.push_back(std::move(fd));
  }

  void complain(const std::string& what) {
    if (complaint_.empty()) complaint_ = what + " after " + std::to_string(model_.submitted()) + " submissions";
  }

  void step() {
    switch (below(random_, 16)) {
      case 0:
        return sync();
      case 1:
        return collect(queue_.wait(), true);
      case 2:
        return collect(queue_.try_wait(), false);
      case 3:
        return collect(queue_.wait_for(std::chrono::microseconds(below(random_, 50))), false);
      case 4:
        return again();
      case 5:
        return resume();
      case 6:
        return kept_.clear();
      default:
        return submit(fresh());
    }
  }

  asioq::asio_request fresh() {
    asioq::asio_request request = queue_.get();
    const std::size_t size = request.buffer().size();
    set_text(request, pattern(size, static_cast<unsigned>(model_.submitted())));
    // Most of what fails does so at the last descriptors: not too often.
    const std::size_t which = below(random_, 8) != 0 ? below(random_, 3) : below(random_, files_.size());
    const int fd = files_[which].get();
    const std::size_t length = how_[which] == manner::all ? below(random_, size + 1) : 1 + below(random_, size);
    const std::uint64_t offset = below(random_, 3) == 0 ? asioq::current_position : below(random_, 2000);
    switch (below(random_, 6)) {
      case 0:
      case 1:
        if (how_[which] != manner::full) {
          request.prepare_read(fd, length, offset);
          break;
        }
        [[fallthrough]];
      case 2:
        request.prepare_write(fd, length, offset);
        break;
      case 3:
        request.prepare_fdatasync(files_[0].get());
        break;
      default:
        request.prepare_write_back(fd, length, offset);
        break;
    }
    if (request.op() == asio_op::fdatasync && below(random_, 16) != 0) request.prepare_write(fd, length, offset);
    return request;
  }

  void submit(asioq::asio_request request) {
    const asio_op op = request.op();
    const int fd = request.fd();
    const std::size_t length = request.length();
    const std::uint64_t offset = request.offset();
    const std::string text = text_of(request.buffer());
    try {
      queue_.submit(std::move(request));
      model_.submit(op, fd, length, offset, text);
      if (request) complain("submit left the handle");
    } catch (const asioq::write_back_error& error) {
      check(error);
      if (op != asio_op::write_back) complain("submit of another operation threw");
      if (!request || text_of(request.buffer()) != text) complain("submit threw and took the request");
    }
  }

  void sync() {
    const bool fails = model_.failed_write_back() != nullptr;
    try {
      queue_.sync();
      if (fails) complain("sync did not throw");
    } catch (const asioq::write_back_error& error) {
      check(error);
    }
    if (queue_.running_requests() != 0) complain("sync left something running");
  }

  void check(const asioq::write_back_error& error) {
    const expectation* oldest = model_.failed_write_back();
    if (oldest == nullptr)
      complain("a write_back_error without a failure");
    else if (error.fd() != oldest->fd || error.offset() != oldest->offset || error.code().value() != oldest->error)
      complain("a write_back_error for another request");
  }

  void collect(asioq::asio_request done, bool surely) {
    const expectation* expected = model_.next();
    if (!done) {
      if (surely && expected != nullptr) complain("wait returned nothing");
      return;
    }
    if (expected == nullptr) return complain("a wait returned too much");
    if (done.sequence() != expected->sequence || done.op() != expected->op || done.error().value() != expected->error ||
        text_of(done.data()) != expected->data) {
      std::ostringstream difference;
      difference << "request " << done.sequence() << " (" << static_cast<int>(done.op()) << ", " << done.error() << ", "
                 << done.bytes_transferred() << " bytes) instead of " << expected->sequence << " ("
                 << static_cast<int>(expected->op) << ", " << expected->error << ", " << expected->data.size()
                 << " bytes)";
      return complain(difference.str());
    }
    if (expected->error != 0 && expected->sequence >= resumed_at_) may_resume_ = true;
    model_.collected();
    if (kept_.size() < 10 && below(random_, 2) == 0) kept_.push_back(std::move(done));
  }

  void again() {
    if (kept_.empty()) return;
    asioq::asio_request request = std::move(kept_.back());
    kept_.pop_back();
    submit(std::move(request));
  }

  void resume() {
    if (!may_resume_) return;
    may_resume_ = false;
    resumed_at_ = model_.submitted();
    queue_.resume();
    model_.resume();
  }

  Queue& queue_;
  std::mt19937_64 random_;
  serial_model model_;
  std::vector<descriptor> files_;
  std::vector<manner> how_;
  std::vector<asioq::asio_request> kept_;  // outlive the program's use of them, not the queue
  std::string complaint_;
  std::uint64_t resumed_at_ = 0;  // submissions before the last resume
  bool may_resume_ = false;       // something that was submitted since has failed, and has come back
};

template <class World>
void run_programs(const World& world, int programs, int steps) {
  for (int i = 0; i < programs; ++i) {
    auto random = random_source(static_cast<std::uint64_t>(i));
    auto queue = world.queue({.buffer_size = 1 + below(random, 1500),
                              .max_writebacks = 1 + below(random, 6),
                              // Held requests are those that have not started: that depends on the order.
                              .on_failure = world.order == asioq::execution_order::strict && below(random, 2) != 0
                                                ? asioq::failure_policy::hold
                                                : asioq::failure_policy::proceed,
                              .on_lost_failure = [](asioq::asio_request&) {}});
    INFO("seed " << run_seed() << ", program " << i);
    CHECK(program(queue, random).run(steps) == "");
  }
}

}  // namespace

TEST_CASE("random programs do what a serial machine does", "[random]") {
  on_every_executor([](const auto& world) { run_programs(world, 40, 250); });
}

TEST_CASE("random programs do so even if the executor refuses tasks now and then", "[random][executor]") {
  SECTION("and runs the others at once") {
    immediate_sink next;
    moody_sink sink(next, run_seed());
    run_programs(world<custom_executor>{{&sink}, nullptr, false}, 40, 250);
  }
  SECTION("and reorders the others") {
    reordering_sink next(run_seed());
    moody_sink sink(next, run_seed());
    run_programs(world<custom_executor>{{&sink}, nullptr, true}, 40, 250);
  }
  SECTION("and runs each on its own thread") {
    thread_per_task_sink next;
    moody_sink sink(next, run_seed());
    run_programs(world<custom_executor>{{&sink}, nullptr, true}, 40, 250);
  }
}
