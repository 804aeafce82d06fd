// explorer [SCHEDULES [walk|priorities]]: runs short random programs on a queue under random schedules, and looks
// whether all goes as it must. The headers are the library's own; only what threads share is made of points of the
// schedule (include/), and files and executors are of the explorer. Returns 0 if nothing goes wrong, else 1.
//
// With a descriptor of an event loop, the owner misses nothing if it sleeps on it. The descriptor is written to at most
// once for each time that the owner has found nothing, and only for what comes back. If it is readable there is
// something, unless a worker was about to write to it, or to tell of a failure, when the owner last looked.
//
// Each schedule has a seed. The first is that of the environment variable ASIOQ_SEED, else a new one; the next one's is
// greater by one. With a few schedules each program is run.
#include <asioq/completion.hpp>
#include <asioq/detail/support/event.hpp>
#include <asioq/detail/support/sync.hpp>
#include <asioq/queue.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "executor.hpp"
#include "fibers.hpp"
#include "files.hpp"
#include "model.hpp"

static_assert(asioq::detail::is_explored, "the explorer's headers have to come first");

namespace asioq_explorer {
namespace {

bool allocations_fail = false;  // now and then

/// Counts what it has allocated.
template <class T>
struct counting_allocator {
  using value_type = T;

  counting_allocator() = default;
  template <class U>
  counting_allocator(const counting_allocator<U>&) noexcept {
  }  // NOLINT(google-explicit-constructor): as std::allocator

  T* allocate(std::size_t count) {
    if (allocations_fail && schedule::is_running() && schedule::choose(4) == 0) throw std::bad_alloc();
    T* const memory = std::allocator<T>().allocate(count);
    ++allocated();
    return memory;
  }
  void deallocate(T* memory, std::size_t count) noexcept {
    --allocated();
    std::allocator<T>().deallocate(memory, count);
  }
  bool operator==(const counting_allocator&) const noexcept { return true; }

  static std::ptrdiff_t& allocated() noexcept;
};

std::ptrdiff_t allocated_by_all = 0;

template <class T>
std::ptrdiff_t& counting_allocator<T>::allocated() noexcept {
  return allocated_by_all;
}

using queue_type = asioq::basic_asio_queue<explored_executor, counting_allocator<std::byte>>;
using schedule::found;

/// A coroutine that submits a request and waits for it. Its frame is destroyed when it has ended.
struct errand {
  struct promise_type {
    errand get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    [[nodiscard]] std::suspend_never initial_suspend() const noexcept { return {}; }
    [[nodiscard]] std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { found("an unexpected exception"); }
  };
  std::coroutine_handle<> handle;
};

/// One program: what the owner of a queue does, and what must come of it.
class program final : public observer, asioq::completion {
 public:
  explicit program(std::uint64_t seed) : random_(seed) {
    asioq::detail::requests_per_turn = std::array<std::size_t, 3>{1, 2, 64}[random_.below(3)];
    options_.buffer_size = 64;
    options_.max_writebacks = 1 + random_.below(3);
    options_.order = random_.one_in(2) ? asioq::execution_order::strict : asioq::execution_order::as_if_serial;
    options_.max_in_flight = 1 + random_.below(4);
    options_.on_failure = random_.one_in(2) ? asioq::failure_policy::hold : asioq::failure_policy::proceed;
    options_.on_lost_failure = [this](asioq::asio_request& request) { lose(request); };
    pool_.how = static_cast<manner>(random_.below(7));
    pool_.refuses = random_.one_in(4);
    pool_.is_late = random_.one_in(4);
    pool_.is_slow = random_.one_in(4);
    shortens_ = random_.one_in(2);
    fails_ = random_.one_in(2);
    changes_files_ = random_.one_in(2);
    is_about_sizes_ = changes_files_ && random_.one_in(3);
    operations_ = 3 + random_.below(9);
    is_never_inside_ = pool_.how == manner::workers || pool_.how == manner::starving || pool_.how == manner::stuck;
    stalls_ = random_.one_in(2);
    loops_ = random_.one_in(2);
    cancels_ = random_.one_in(4);
    receives_ = cancels_ || random_.one_in(2);
    make_files();
    model_.emplace(the_system, options_.on_failure);
    schedule::set_description([](const void* its) { static_cast<const program*>(its)->describe(); }, this);
  }

  program(const program&) = delete;
  program& operator=(const program&) = delete;
  ~program() {
    schedule::set_description(nullptr, nullptr);
    the_system.its_observer = nullptr;
    asioq::detail::explored_watch::changed = nullptr;
    watched_ = nullptr;
  }

  void run() {
    watched_ = this;
    asioq::detail::explored_watch::changed = [](std::uint64_t from, std::uint64_t to, bool is_taken) {
      watched_->watch_changes(from, to, is_taken);
    };
    const std::size_t workers = 1 + random_.below(3);
    constexpr std::array<const char*, 3> names{"worker 1", "worker 2", "worker 3"};
    schedule::add("owner", [this] { own(); });
    schedule::add("bystander", [this] { stand_by(); });
    for (std::size_t i = 0; i < workers; ++i) schedule::add(names[i], [this] { pool_.work(); });
    schedule::run();
    if (asioq::detail::explored_life::count() != 0) found("something of the queue has not been destroyed");
    if (allocated_by_all != 0) found("memory of the queue has not been freed");
  }

  transfer* find(const std::byte* data) override {
    // The newest: a write-back that was successful does not come back, and its buffer may be another request's by now.
    for (auto one = in_queue_.rbegin(); one != in_queue_.rend(); ++one)
      if (data >= (*one)->buffer && data < (*one)->buffer + options_.buffer_size) return *one;
    return nullptr;
  }

  void call_begins(operation /*what*/, int /*fd*/, transfer* request) override {
    ++calls_;
    if (leaves_it_to_others_ && std::string_view(schedule::name()) == "owner")
      found("the owner carries out a request where it must not");
    if (calls_ > most_calls()) found("%zu calls at a time", calls_);
    if (is_strict()) check_order(static_cast<request_record*>(request));
  }

  /// A call that the owner has no need of lasts, while the owner sleeps.
  [[nodiscard]] bool may_end(const transfer& request) const override {
    return request.is_of_owner || static_cast<const request_record&>(request).sequence <= needs_ ||
           !schedule::sleeps("owner");
  }

  void call_ends(operation /*what*/, int /*fd*/, transfer* /*request*/) override { --calls_; }

  void call_begins(operation what, int fd, std::uint64_t offset, std::size_t length) override {
    request_record* const its = is_strict() && is_interrupted_ ? last_called_ : find_call(what, fd, offset, length);
    if (its == nullptr || its->what != what || its->fd != fd)
      found("a call that no request asks for, or too early, or too late");
    last_called_ = its;
    if (is_strict()) its->has_begun = true;
    call_begins(what, fd, its);
  }

  void call_ends(operation what, int error) override {
    is_interrupted_ = error == EINTR && what != operation::close;
    --calls_;
  }

 private:
  [[nodiscard]] bool is_strict() const noexcept { return options_.order == asioq::execution_order::strict; }
  [[nodiscard]] std::size_t most_calls() const noexcept { return is_strict() ? 1 : options_.max_in_flight; }
  /// Whether what comes of a request is known when it is submitted. Not so if what is younger than a failure may have
  /// begun before it.
  [[nodiscard]] bool is_exact() const noexcept {
    return !cancels_ && (runs_in_order() || options_.on_failure == asioq::failure_policy::proceed);
  }
  [[nodiscard]] bool runs_in_order() const noexcept { return is_strict() || options_.max_in_flight == 1; }
  /// Whether what was submitted is carried out while the owner does nothing but sleep.
  [[nodiscard]] bool goes_on_alone() const noexcept {
    return pool_.how != manner::starving && pool_.how != manner::stuck && !pool_.is_late && !pool_.is_slow;
  }

  void make_files() {
    the_system = {};
    the_system.its_observer = this;
    the_system.can_merge = !stalls_;
    const std::size_t files = 1 + random_.below(2);
    for (std::size_t i = 0; i < files; ++i) {
      simulated_file its;
      its.content = std::string(random_.below(40), static_cast<char>('A' + i));
      if (fails_) its.syncs.fails = random_.next() & random_.next();
      its.syncs.interrupts = few();
      its.resizes = {.fails = fails_ ? few() : 0, .interrupts = few()};
      the_system.files.push_back(std::move(its));
      the_system.descriptors.push_back(opened(i, false));
    }
    while (the_system.descriptors.size() < files + 2 && random_.one_in(2))
      the_system.descriptors.push_back(opened(random_.below(files), random_.one_in(4)));
  }

  /// Some bits of many.
  std::uint64_t few() { return shortens_ ? random_.next() & random_.next() & random_.next() : 0; }

  descriptor opened(std::size_t file, bool appends) {
    return {.file = file, .appends = appends, .closes = {.fails = fails_ ? few() : 0, .interrupts = few()}};
  }

  /// While it lives, the owner is in a call that carries out no request.
  class in_short_call {
   public:
    explicit in_short_call(program& its) noexcept : its_(its) { its_.leaves_it_to_others_ = its_.is_never_inside_; }
    in_short_call(const in_short_call&) = delete;
    in_short_call& operator=(const in_short_call&) = delete;
    ~in_short_call() { its_.leaves_it_to_others_ = false; }

   private:
    program& its_;
  };

  /// While it lives, the owner is in a call that may deliver, or must not.
  class owner_call {
   public:
    owner_call(program& its, const queue_type& queue, bool may_deliver, std::uint64_t delivers_below = all) noexcept
        : its_(its), before_(its.may_deliver_), below_before_(its.delivers_below_) {
      const schedule::in_one_step alone;
      finished_before_ = queue.completed_through();
      if (its.depth_++ == 0) its.note_look(finished_before_);
      its.may_deliver_ = may_deliver;
      its.delivers_below_ = delivers_below;
    }
    owner_call(const owner_call&) = delete;
    owner_call& operator=(const owner_call&) = delete;
    ~owner_call() {
      its_.may_deliver_ = before_;
      its_.delivers_below_ = below_before_;
      if (--its_.depth_ == 0) its_.check_descriptor(given_);
    }

    void gives(const asioq::asio_request& done) noexcept {
      if (done) given_ = static_cast<const request_record*>(done.user_data());
    }

    /// What had finished and has a receiver has been delivered.
    void has_delivered_all() const {
      const request_record* const next = its_.next_to_deliver();
      if (next != nullptr && next->sequence < finished_before_)
        found("request %llu has not been delivered", static_cast<unsigned long long>(next->sequence));
    }

   private:
    program& its_;
    bool before_;
    std::uint64_t below_before_;
    std::uint64_t finished_before_;
    const request_record* given_ = nullptr;
  };

  // What the owner does.

  void own() {
    {
      queue_type queue(explored_executor(pool_), options_);
      queue_ = &queue;
      pool_.is_finished = [&queue] { return queue.running_requests() == 0; };
      allocations_fail = random_.one_in(8);
      for (std::size_t i = 0; i < operations_; ++i) operate(queue);
      if (random_.one_in(3)) do_something_else(queue);
      if (random_.one_in(2)) {
        for (;;) {
          const std::size_t before = to_come_.size();
          wait(queue);
          if (to_come_.size() == before || to_come_.empty()) break;
        }
      }
      if (random_.one_in(2)) held_.clear();
      closes_ = may_deliver_ = true;
    }
    queue_ = nullptr;
    may_deliver_ = false;
    allocations_fail = false;
    pool_.has_lost_its_queue = true;
    check_end();
    for (asioq::asio_request& one : held_) drop(std::move(one));
    held_.clear();
    pool_.is_closing = true;
  }

  void operate(queue_type& queue) {
    if (loops_ && random_.one_in(5)) {
      for (auto rounds = 1 + random_.below(3); rounds != 0; --rounds) run_loop(queue);
      return;
    }
    if (cancels_ && random_.one_in(10)) return cancel(queue);
    if (receives_ && random_.one_in(8)) return random_.one_in(2) ? run_one(queue) : static_cast<void>(poll(queue));
    switch (is_about_sizes_ && random_.below(4) != 0 ? 15 : random_.below(16)) {
      case 0:
        if (!held_.empty()) {
          drop(std::move(held_.back()));
          held_.pop_back();
        }
        break;
      case 1:
        wait(queue);
        if (pool_.refuses && loops_)
          run_loop(queue);  // what the owner has not been able to leave to the executor
        else if (random_.one_in(3))
          do_something_else(queue);
        break;
      case 2:
        try_wait(queue);
        break;
      case 3:
        if (random_.one_in(4))
          wait_or_stop(queue);
        else
          wait_for(queue);
        break;
      case 4:
        sync(queue);
        break;
      case 5:
        resume(queue);
        break;
      case 6:
        do_something_else(queue);
        break;
      case 7:
        reopen(queue);
        break;
      case 8:
        if (!held_.empty()) {
          asioq::asio_request again = std::move(held_.back());
          held_.pop_back();
          submit(queue, std::move(again));
          break;
        }
        [[fallthrough]];
      default:
        try {
          submit(queue, prepared(queue.get()));
        } catch (const std::bad_alloc&) {
          if (!allocations_fail) found("an unexpected exception");
        }
    }
  }

  asioq::asio_request prepared(asioq::asio_request request) {
    const int fd = first_fd + static_cast<int>(random_.below(the_system.descriptors.size()));
    std::uint64_t offset = random_.one_in(6) ? asioq::current_position : random_.below(40);
    const std::size_t length = random_.one_in(changes_files_ ? 5 : 12) ? 0 : 1 + random_.below(16);
    std::size_t what = random_.below(changes_files_ ? 12 : 8);
    // Behind a truncate reads and writes beyond the end, which are not to observe each other.
    if (is_about_sizes_) what = std::array<std::size_t, 5>{0, 0, 5, 5, 8}[random_.below(5)];
    if (is_about_sizes_ && offset == asioq::current_position) offset = random_.below(40);
    switch (what) {
      case 7:
        if (random_.one_in(2))
          request.prepare_fsync(fd);
        else
          request.prepare_fdatasync(fd);
        return request;
      case 8:
        request.prepare_truncate(fd, random_.below(random_.one_in(2) ? 10 : 48));
        return request;
      case 9:
        request.prepare_allocate(fd, 1 + random_.below(24), random_.below(40));
        return request;
      case 10:
      case 11:
        request.prepare_close(fd);
        return request;
      default:
        break;
    }
    const std::size_t first = random_.one_in(3) ? random_.below(48) : 0;
    const bool is_read = what < 2;
    int where = fd;
    if (random_.one_in(2)) {  // continues the one before, if that was of the same kind
      where = last_fd_;
      offset = last_end_;
    }
    if (is_read) {
      request.prepare_read(where, length, offset);
    } else {
      ++texts_;
      for (std::size_t i = 0; i < length; ++i)
        request.buffer()[first + i] = static_cast<std::byte>('a' + (texts_ + i * 5) % 26);
      if (what < 5)
        request.prepare_write_back(where, length, offset);
      else
        request.prepare_write(where, length, offset);
    }
    if (first != 0) request.use_from(first);
    last_fd_ = where;
    last_end_ = offset == asioq::current_position ? offset : offset + length;
    return request;
  }

  static operation kind_of(asioq::asio_op op) {
    switch (op) {
      case asioq::asio_op::read:
        return operation::read;
      case asioq::asio_op::fsync:
      case asioq::asio_op::fdatasync:
        return operation::sync;
      case asioq::asio_op::truncate:
        return operation::truncate;
      case asioq::asio_op::allocate:
        return operation::allocate;
      case asioq::asio_op::close:
        return operation::close;
      default:
        return operation::write;
    }
  }

  /// Opens a file, which gets a number that has been closed.
  void reopen(queue_type& queue) {
    const std::size_t which = random_.below(the_system.descriptors.size());
    const int fd = first_fd + static_cast<int>(which);
    const descriptor its = opened(random_.below(the_system.files.size()), random_.one_in(4));
    schedule::point("open");
    const auto finished = queue.completed_through();
    const bool is_used = std::any_of(in_queue_.begin(), in_queue_.end(), [&](const request_record* one) {
      return one->fd == fd && one->sequence >= finished;
    });
    if (the_system.descriptors[which].is_open || is_used) return;
    the_system.descriptors[which] = its;
    if (is_exact())
      model_->open(fd, its);
    else
      opens_.push_back({submitted_, fd, its});
  }

  void submit(queue_type& queue, asioq::asio_request request) {
    using asioq::asio_op;
    request_record& its = records_.emplace_back();
    its.op = request.op();
    its.what = kind_of(its.op);
    its.fd = request.fd();
    its.offset = request.offset();
    its.length = request.length();
    its.buffer = request.data().data();
    its.sequence = submitted_;
    its.has_receiver = receives_ && random_.one_in(2);
    const bool is_awaited = its.has_receiver && random_.one_in(2);
    if (is_awaited && cancels_) {
      its.stop = std::stop_source();
      if (random_.one_in(3))
        stop_before_submitting(its);
      else
        to_stop_.push_back(&its);
    }
    if (its.what == operation::write) its.text.assign(reinterpret_cast<const char*>(its.buffer), its.length);
    plan(its);
    request.set_user_data(&its);
    in_queue_.push_back(&its);
    bool is_taken = false;
    try {
      const owner_call call(*this, queue, false);
      std::optional<in_short_call> carries_out_none;
      std::optional<schedule::awake> never_blocks;
      if (its.op != asio_op::write_back) {
        carries_out_none.emplace(*this);
        if (is_never_inside_) never_blocks.emplace();
      }
      if (is_awaited) {
        std::exception_ptr thrown;
        const errand begun = run_errand(queue, request, its.stop.get_token(), thrown);
        if (thrown) std::rethrow_exception(thrown);
        its.waiting = begun.handle;
      } else if (its.has_receiver) {
        queue.submit(std::move(request), *this);
      } else {
        queue.submit(std::move(request));
      }
      is_taken = true;
    } catch (const asioq::write_back_error& error) {
      if (its.has_receiver) found("write_back_error for a request with a receiver");
      check_error(error);
    } catch (const refusal&) {
      if (!pool_.refuses) found("an unexpected exception");
    }
    if (!is_taken) {
      if (!request || request.user_data() != &its || request.op() != its.op || request.fd() != its.fd)
        found("submit() has thrown and not left the request as it was");
      if (its.has_begun) found("submit() has thrown, but the request has begun");
      std::erase(in_queue_, &its);
      std::erase(to_stop_, &its);
      records_.pop_back();
      request.set_user_data(nullptr);
      if (random_.one_in(2)) held_.push_back(std::move(request));
      return;
    }
    if (request) found("submit() has left something in the handle");
    ++submitted_;
    if (is_exact()) model_->run(its, acknowledged_);
    if (its.has_receiver)
      to_deliver_.push_back(&its);
    else if (!is_exact() || its.op != asio_op::write_back || its.error != 0)
      to_come_.push_back(&its);
    if (is_exact()) check_write_backs();
    if (queue.running_writebacks() > options_.max_writebacks) found("too many write-backs are running");
  }

  errand run_errand(queue_type& queue, asioq::asio_request& request, std::stop_token stop, std::exception_ptr& thrown) {
    asioq::asio_request done;
    try {
      auto submission = queue.async_submit(std::move(request), std::move(stop));
      done = co_await submission;
      receive(std::move(done));
    } catch (...) {
      thrown = std::current_exception();
    }
  }

  void finished(asioq::asio_request request) noexcept override { receive(std::move(request)); }

  /// A request finds its receiver.
  void receive(asioq::asio_request done) {
    if (std::string_view(schedule::name()) != "owner") found("a delivery by another than the owner");
    if (std::exchange(is_receiving_, true)) found("a delivery inside of a delivery");
    auto* const its = static_cast<request_record*>(done.user_data());
    const auto number = static_cast<unsigned long long>(its->sequence);
    if (!may_deliver_) found("request %llu is delivered where nothing may be", number);
    if (!its->has_receiver) found("request %llu is delivered, but has no receiver", number);
    if (its->has_returned) found("request %llu is delivered twice", number);
    if (its->sequence >= delivers_below_)
      found("request %llu is delivered by a call that began before it was submitted", number);
    if (next_to_deliver() != its) found("request %llu is delivered out of order", number);
    while (to_deliver_.front() != its) to_deliver_.pop_front();
    to_deliver_.pop_front();
    if (is_exact())
      check_result(done, *its);
    else
      note_result(done, *its);
    its->waiting = nullptr;
    leave(*its);
    ++received_;
    if (random_.one_in(3)) {
      const std::uint64_t needed = std::exchange(needs_, all);
      const bool leaves_it = std::exchange(leaves_it_to_others_, false);
      const schedule::not_awake may_sleep;
      do_from_receiver(done);
      leaves_it_to_others_ = leaves_it;
      needs_ = needed;
    }
    if (done && random_.one_in(2))
      held_.push_back(std::move(done));
    else if (done)
      drop(std::move(done));
    is_receiving_ = false;
  }

  void do_from_receiver(asioq::asio_request& done) {
    switch (random_.below(7)) {
      case 0:
        try {
          static_cast<void>(random_.one_in(2) ? queue_->poll() : queue_->run_one());
          found("a receiver's call that delivers has not thrown");
        } catch (const std::system_error& error) {
          if (error.code() != std::errc::resource_deadlock_would_occur) found("an unexpected exception");
        }
        break;
      case 1:
        if (cancels_) cancel(*queue_);
        break;
      case 2:
        sync(*queue_);
        break;
      case 3:
        resume(*queue_);
        break;
      default:
        if (closes_) return submit_too_late(done);
        if (random_.one_in(3)) return submit(*queue_, std::move(done));
        try {
          submit(*queue_, prepared(queue_->get()));
        } catch (const std::bad_alloc&) {
          if (!allocations_fail) found("an unexpected exception");
        }
    }
  }

  void submit_too_late(asioq::asio_request& request) {
    try {
      queue_->submit(std::move(request), *this);
      found("a queue that is being destroyed takes a request");
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::operation_not_permitted) found("an unexpected exception");
    }
  }

  /// The oldest request that has to be delivered; null if there is none.
  [[nodiscard]] const request_record* next_to_deliver() const {
    const auto place =
        std::find_if(to_deliver_.begin(), to_deliver_.end(), [](const auto* one) { return !one->is_abandoned; });
    return place == to_deliver_.end() ? nullptr : *place;
  }
  /// The oldest request that certainly has to be collected, but for this one; null if there is none.
  [[nodiscard]] const request_record* next_to_collect(const request_record* given = nullptr) const {
    const auto place = std::find_if(to_come_.begin(), to_come_.end(), [&](const request_record* one) {
      return one != given && (is_exact() || one->op != asioq::asio_op::write_back);
    });
    return place == to_come_.end() ? nullptr : *place;
  }
  /// The number of the oldest request that certainly comes back, but for this one.
  [[nodiscard]] std::uint64_t next_to_come_back(const request_record* given = nullptr) const {
    const request_record* const collected = next_to_collect(given);
    const request_record* const delivered = next_to_deliver();
    return std::min(collected == nullptr ? all : collected->sequence, delivered == nullptr ? all : delivered->sequence);
  }

  /// A coroutine that waits for a request is destroyed.
  void abandon() {
    for (request_record* const one : to_deliver_) {
      if (!one->waiting || (!is_exact() && !is_transfer(one->what))) continue;
      one->is_abandoned = true;
      std::erase(to_stop_, one);
      std::exchange(one->waiting, nullptr).destroy();
      return;
    }
  }

  /// Requests whose coroutines have been destroyed. The program does not see when one is delivered.
  [[nodiscard]] std::size_t count_abandoned() const {
    return static_cast<std::size_t>(
        std::count_if(to_deliver_.begin(), to_deliver_.end(), [](const auto* one) { return one->is_abandoned; }));
  }

  /// Returns whether it has found something or thrown.
  bool poll(queue_type& queue) {
    if (random_.one_in(4)) abandon();
    const std::size_t before = received_;
    const std::size_t abandoned = count_abandoned();
    try {
      const owner_call call(*this, queue, true, submitted_);
      const in_short_call carries_out_none(*this);
      std::optional<schedule::awake> never_blocks;
      if (is_never_inside_) never_blocks.emplace();
      const std::size_t delivered = queue.poll();
      const std::size_t received = received_ - before;
      if (delivered < received || delivered > received + abandoned)
        found("poll() returns %zu, but has delivered %zu", delivered, received);
      call.has_delivered_all();
      return delivered != 0;
    } catch (const refusal&) {
      if (!pool_.refuses) found("an unexpected exception");
      return true;
    }
  }

  void run_one(queue_type& queue) {
    const std::size_t before = received_;
    if (const request_record* const next = next_to_deliver(); next != nullptr && stalls_ && is_exact())
      needs_ = next->sequence;
    std::size_t delivered = 0;
    {
      const owner_call call(*this, queue, true);
      delivered = queue.run_one();
    }
    needs_ = all;
    if (delivered > 1 || received_ - before > delivered)
      found("run_one() returns %zu, but has delivered %zu", delivered, received_ - before);
    if (delivered == 0 && next_to_deliver() != nullptr) found("run_one() has not waited");
    if (received_ - before == delivered) return;
    if (to_deliver_.empty() || !to_deliver_.front()->is_abandoned) found("run_one() has delivered nothing");
  }

  void cancel(queue_type& queue) {
    for (request_record* const one : in_queue_) one->is_asked_to_stop = true;
    {
      const owner_call call(*this, queue, false);
      const in_short_call carries_out_none(*this);
      const schedule::awake never_blocks;
      queue.cancel();
    }
    const schedule::in_one_step alone;
    for (request_record* const one : in_queue_) note_cancelled(*one);
    if ((pool_.how == manner::stuck || pool_.how == manner::at_once) && queue.running_requests() != 0)
      found("cancel() has left something that has not begun");
  }

  /// If all that may be in the hands of a thread is in the kernel, what has not begun must not begin any more. What has
  /// finished need not have begun: a sync may have got the error of an earlier one.
  void note_cancelled(request_record& its) {
    if (calls_ != most_calls() || its.has_begun || its.sequence < finished_of_all()) return;
    if (is_strict() || is_transfer(its.what)) its.must_not_begin = true;
  }

  /// Sleeps as an event loop does, and looks then.
  void run_loop(queue_type& queue) {
    if (descriptor_ < 0) {
      const owner_call call(*this, queue, false);
      descriptor_ = queue.native_handle();
    }
    // When the owner last looked, a worker may have been about to make the descriptor readable or to tell of a failure.
    const bool is_sure = !pool_.refuses && is_sure_ && count_abandoned() == 0;
    if (stalls_ && is_exact() && is_strict()) needs_ = next_to_come_back();
    const asioq::detail::event& its = *asioq::detail::event::at(descriptor_);
    bool is_readable = false;
    do {
      is_readable = schedule::wait_until(
          "poll", [](const void* one) { return static_cast<const asioq::detail::event*>(one)->is_readable(); }, &its,
          schedule::now() + schedule::very_long);
    } while (!is_readable && taken_ != its.signals_by_others());
    needs_ = all;
    if (!is_readable) {
      const schedule::in_one_step alone;
      if (next_to_come_back() < queue.completed_through() || (goes_on_alone() && next_to_come_back() != all))
        found("an event loop is not told of request %llu", static_cast<unsigned long long>(next_to_come_back()));
    }
    if (is_readable || random_.one_in(2)) {
      if ((random_.one_in(2) && poll(queue)) || try_wait(queue) || poll(queue) || !is_readable || !is_sure) return;
      found("the descriptor is readable, but there is nothing");
    }
  }

  void wait_or_stop(queue_type& queue) {
    std::stop_source stop;
    if (!goes_on_alone() || random_.one_in(2)) sources_to_stop_.push_back(stop);
    asioq::asio_request done;
    try {
      owner_call call(*this, queue, true);
      const in_short_call carries_out_none(*this);
      waits_for_any_ = true;
      done = queue.wait(stop.get_token());
      call.gives(done);
      waits_for_any_ = false;
    } catch (const refusal&) {
      waits_for_any_ = false;
      if (!pool_.refuses) found("an unexpected exception");
    }
    if (!done && !stop.stop_requested() && !pool_.refuses && next_to_come_back() != all) found("wait() has not waited");
    collect_kept(std::move(done));
  }

  // What becomes of the descriptor.

  void watch_changes(std::uint64_t from, std::uint64_t to, bool is_taken) {
    using asioq::detail::explored_watch;
    is_armed_ = explored_watch::is_one(to);
    if (is_armed_) {
      ++armed_;
      is_armed_for_any_ = waits_for_any_;
    } else if (is_taken) {
      if (std::string_view(schedule::name()) != "owner") ++taken_;
      if (!is_armed_for_any_ && queue_ != nullptr && !closes_) check_taken(from & (explored_watch::by_descriptor - 1));
      is_armed_for_any_ = false;
    }
  }

  /// A party is about to make the descriptor readable, where the owner waits for this many requests to finish. The last
  /// of these must be one that comes back. A failure makes it readable, too.
  void check_taken(std::uint64_t target) {
    const schedule::in_one_step alone;
    const std::uint64_t finished = queue_->completed_through();
    if (finished >= target) {
      const request_record& last = records_[target - 1];
      if (!last.has_receiver && last.op == asioq::asio_op::write_back)
        found("the descriptor waits for request %llu, which does not come back",
              static_cast<unsigned long long>(last.sequence));
    } else if (!may_have_failed(finished)) {
      found("the descriptor becomes readable, but nothing comes back");
    }
  }

  /// Whether some request of the first `finished` may have failed. What becomes of one that is being submitted is not
  /// known yet.
  [[nodiscard]] bool may_have_failed(std::uint64_t finished) const {
    return !is_exact() || std::any_of(records_.begin(), records_.end(), [&](const request_record& one) {
      return one.sequence < finished && (one.error != 0 || one.sequence == submitted_);
    });
  }

  /// A call of the owner begins, when this many requests have finished.
  void note_look(std::uint64_t finished) {
    looks_from_ = finished;
    taken_before_ = taken_;
    const asioq::detail::event* const its = asioq::detail::event::at(first_descriptor);
    was_coming_ = its != nullptr && taken_ != its->signals_by_others();
  }

  /// A call of the owner ends, which gives back this request.
  void check_descriptor(const request_record* given) {
    if (descriptor_ < 0 || closes_) return;
    const schedule::in_one_step alone;
    const asioq::detail::event& its = *asioq::detail::event::at(descriptor_);
    if (its.signals_by_others() > taken_) found("the descriptor is written to, but the target was not taken");
    if (!pool_.refuses && its.signals() > armed_ + 1)
      found("the descriptor is written to %zu times, but the owner has found nothing %zu times", its.signals(), armed_);
    const bool is_coming = taken_ != its.signals_by_others();
    is_sure_ = !was_coming_ && taken_ == taken_before_ &&
               (!may_have_failed(submitted_) ||
                std::all_of(pool_.depths.begin(), pool_.depths.end(), [](const auto& of) { return of.second == 0; }));
    if (next_to_come_back(given) >= looks_from_) return;
    if (is_armed_) found("the descriptor is armed, but there is something to find");
    if (!its.is_readable() && !is_coming) found("the descriptor is not readable, but there is something to find");
  }

  void plan(request_record& its) {
    its.plan = {};
    if (its.length == 0 || !is_transfer(its.what)) return;
    if (shortens_) {
      for (std::size_t& most : its.plan.most)
        if (random_.one_in(3)) most = 1 + random_.below(its.length);
      if (random_.one_in(8)) its.plan.interruptions = 1;
    }
    if (fails_ && random_.one_in(4)) its.plan.fails_at = random_.below(its.length);
  }

  void wait(queue_type& queue) {
    note_needs();
    asioq::asio_request done;
    {
      owner_call call(*this, queue, true);
      done = queue.wait();
      call.gives(done);
      call.has_delivered_all();
    }
    needs_ = all;
    if (!done && (next_to_deliver() != nullptr || next_to_collect() != nullptr)) found("wait() has not waited for all");
    if (!done && queue.running_requests() != 0) found("wait() has not waited");
    if (!done && is_exact() && !to_come_.empty()) found("wait() returns nothing, but there is something");
    const bool has_failed = done && done.error();
    collect_kept(std::move(done));
    if (has_failed && random_.one_in(2)) resume(queue);
  }

  void note_needs() {
    if (stalls_ && is_exact() && !to_come_.empty()) needs_ = to_come_.front()->sequence;
  }

  /// Does nothing with the queue until all has finished, which must not need the owner.
  void do_something_else(queue_type& queue) {
    if (pool_.is_late || pool_.how == manner::stuck || pool_.how == manner::starving) return;
    // What has been refused the owner has to offer again, in a call that then is not refused anything. If it is, the
    // call throws, or leaves the descriptor readable.
    if (pool_.refuses) {
      pool_.has_refused_owner = false;
      try_wait(queue);
      if (pool_.has_refused_owner) return;
    }
    const bool is_slow = std::exchange(pool_.is_slow, false);
    schedule::wait(
        "something else", [](const void* its) { return static_cast<const queue_type*>(its)->running_requests() == 0; },
        &queue);
    pool_.is_slow = is_slow;
  }

  /// Returns whether it has found something or thrown.
  bool try_wait(queue_type& queue) {
    const std::size_t before = received_;
    const std::uint64_t submitted = submitted_;  // a receiver may submit more
    const bool is_all_finished = queue.running_requests() == 0;
    asioq::asio_request done;
    try {
      const in_short_call carries_out_none(*this);
      std::optional<schedule::awake> never_blocks;
      if (is_never_inside_) never_blocks.emplace();
      owner_call call(*this, queue, true, submitted_);
      done = queue.try_wait();
      call.gives(done);
      call.has_delivered_all();
    } catch (const refusal&) {
      if (!pool_.refuses) found("an unexpected exception");
      return true;
    }
    if (!done && is_all_finished && is_exact() && !to_come_.empty() && to_come_.front()->sequence < submitted)
      found("try_wait() does not return what has finished");
    const bool has_found = done || received_ != before;
    collect_kept(std::move(done));
    return has_found;
  }

  void wait_for(queue_type& queue) {
    const std::uint64_t timed_out = schedule::timed_out_alone();
    asioq::asio_request done;
    try {
      note_needs();
      const in_short_call carries_out_none(*this);
      owner_call call(*this, queue, true);
      done = queue.wait_for(std::chrono::microseconds(1 + random_.below(1000)));
      call.gives(done);
      call.has_delivered_all();
      needs_ = all;
    } catch (const refusal&) {
      needs_ = all;
      if (!pool_.refuses) found("an unexpected exception");
      return;
    }
    // Starving threads may come in between the deadline and the return.
    if (done && pool_.how != manner::starving && !pool_.is_slow && schedule::timed_out_alone() != timed_out)
      found("a timed wait has slept until its deadline though the request has finished");
    collect_kept(std::move(done));
  }

  void sync(queue_type& queue) {
    bool has_thrown = false;
    try {
      const owner_call call(*this, queue, false);
      queue.sync();
    } catch (const asioq::write_back_error& error) {
      has_thrown = true;
      check_error(error);
    }
    if (queue.running_requests() != 0) found("sync() has not waited");
    if (is_exact() && !has_thrown && failed_write_back() != nullptr)
      found("sync() does not say that a write-back has failed");
  }

  /// Which failures it is about depends on how many requests have finished, so no other fiber does anything meanwhile.
  void resume(queue_type& queue) {
    schedule::point("resume");
    const schedule::in_one_step alone;
    queue.resume();
    const std::uint64_t finished = submitted_ - queue.running_requests();
    if (is_exact())
      look_back(finished);
    else
      resumes_.push_back({finished, submitted_});
  }

  /// resume(), when this many requests had finished.
  void look_back(std::uint64_t finished) {
    for (; resume_looks_at_ < finished; ++resume_looks_at_)
      if (records_[resume_looks_at_].error != 0) acknowledged_ = finished;
  }

  /// A handle of the owner's is destroyed here or by another.
  void drop(asioq::asio_request request) {
    if (random_.one_in(2)) return;
    bag_.push_back(std::move(request));
    schedule::point("into the bag");
  }

  void stand_by() {
    for (;;) {
      schedule::wait(
          "a handle",
          [](const void* its) {
            const auto& self = *static_cast<const program*>(its);
            return self.pool_.is_closing || !self.bag_.empty() || !self.to_stop_.empty() ||
                   !self.sources_to_stop_.empty();
          },
          this);
      if (!to_stop_.empty())
        for (auto steps = schedule::choose(64); steps != 0; --steps) schedule::yield();
      if (!to_stop_.empty()) stop(*to_stop_[schedule::choose(to_stop_.size())]);
      if (!sources_to_stop_.empty()) {
        const schedule::in_one_step at_once;  // as its callbacks end before their destructors do
        sources_to_stop_.back().request_stop();
        sources_to_stop_.pop_back();
      }
      if (bag_.empty()) {
        if (pool_.is_closing) return;
        continue;
      }
      const asioq::asio_request last = std::move(bag_.back());
      bag_.pop_back();
    }
  }

  void stop_before_submitting(request_record& its) {
    its.is_asked_to_stop = its.stop.request_stop();
    its.must_not_begin = is_strict() || is_transfer(its.what);
  }

  /// Asks a request to stop, whose coroutine waits for it.
  void stop(request_record& its) {
    const schedule::in_one_step at_once;  // as its callback ends before that is destroyed
    std::erase(to_stop_, &its);
    its.is_asked_to_stop = true;
    its.stop.request_stop();
    note_cancelled(its);
  }

  /// For the reader of a finding.
  void describe() const {
    constexpr std::array<const char*, 7> manners{"workers", "at once",  "at once inside", "any inside",
                                                 "mixed",   "starving", "stuck"};
    std::fprintf(stderr, "%s, %s, max_writebacks %zu, max_in_flight %zu, %zu requests a turn; executor: %s%s%s%s\n",
                 is_strict() ? "strict" : "as if serial",
                 options_.on_failure == asioq::failure_policy::hold ? "hold" : "proceed", options_.max_writebacks,
                 options_.max_in_flight, asioq::detail::requests_per_turn, manners[static_cast<std::size_t>(pool_.how)],
                 pool_.refuses ? ", refuses" : "", pool_.is_late ? ", late" : "", pool_.is_slow ? ", slow" : "");
    constexpr std::array<const char*, 9> names{"free",      "read",     "write",    "write_back", "fsync",
                                               "fdatasync", "truncate", "allocate", "close"};
    for (const request_record& one : records_)
      std::fprintf(stderr, "  %llu: %s of %zu bytes at %lld of %d, %zu moved, must be %zu and error %d%s%s%s\n",
                   static_cast<unsigned long long>(one.sequence), names[static_cast<std::size_t>(one.op)], one.length,
                   static_cast<long long>(one.offset), one.fd, one.progress, one.transferred, one.error,
                   one.has_begun ? "" : ", not begun", one.is_in_kernel ? ", in the kernel" : "",
                   one.has_returned ? ", has come back" : "");
    if (needs_ != all) std::fprintf(stderr, "The owner needs request %llu\n", static_cast<unsigned long long>(needs_));
  }

  // What is checked.

  /// The request for which a call is made that is no transfer.
  request_record* find_call(operation what, int fd, std::uint64_t offset, std::size_t length) {
    // In strict order what was cancelled has not run and has finished, and another like it may run.
    const std::uint64_t finished = finished_of_all();
    const auto place = std::find_if(in_queue_.begin(), in_queue_.end(), [&](const request_record* one) {
      return one->what == what && one->fd == fd && one->offset == offset && one->length == length &&
             (!is_strict() || one->sequence >= std::max(next_to_run_, finished));
    });
    return place == in_queue_.end() ? nullptr : *place;
  }

  [[nodiscard]] std::uint64_t finished_of_all() const {
    const schedule::in_one_step alone;
    return queue_->completed_through();
  }

  void check_order(const request_record* request) {
    if (request->sequence < next_to_run_ && request->sequence + 1 != next_to_run_) found("requests run out of order");
    for (const request_record* const one : in_queue_)
      if (one->sequence < request->sequence && (is_exact() ? one->progress != one->transferred : one->is_in_kernel))
        found("request %llu begins before request %llu has finished",
              static_cast<unsigned long long>(request->sequence), static_cast<unsigned long long>(one->sequence));
    next_to_run_ = request->sequence + 1;
  }

  /// Those that have not even begun are certainly not finished.
  void check_write_backs() {
    const auto running =
        static_cast<std::size_t>(std::count_if(in_queue_.begin(), in_queue_.end(), [](const request_record* one) {
          return one->op == asioq::asio_op::write_back && one->is_carried_out && !one->has_begun;
        }));
    if (running > options_.max_writebacks) found("%zu write-backs are unfinished", running);
  }

  [[nodiscard]] const request_record* failed_write_back() const {
    const auto place = std::find_if(to_come_.begin(), to_come_.end(),
                                    [](const request_record* one) { return one->op == asioq::asio_op::write_back; });
    return place == to_come_.end() ? nullptr : *place;
  }

  void check_error(const asioq::write_back_error& error) {
    for (request_record* const one : to_come_)
      if (one->op == asioq::asio_op::write_back) one->may_be_reported = true;
    if (!is_exact()) return;
    const request_record* const failed = failed_write_back();
    if (failed == nullptr) found("write_back_error, but no write-back has failed");
    if (error.code().value() != failed->error || error.fd() != failed->fd || error.offset() != failed->offset ||
        error.length() != failed->length)
      found("write_back_error says what is not so");
  }

  void collect_kept(asioq::asio_request done) {
    if (!done) return;
    done = collect_one(std::move(done));
    if (random_.one_in(2))
      drop(std::move(done));
    else
      held_.push_back(std::move(done));
  }

  asioq::asio_request collect_one(asioq::asio_request done) {
    auto* const its = static_cast<request_record*>(done.user_data());
    if (is_exact()) {
      if (to_come_.empty() || to_come_.front() != its) found("requests come back in another order");
      check_result(done, *its);
    } else {
      while (!to_come_.empty() && to_come_.front() != its && to_come_.front()->op == asioq::asio_op::write_back)
        to_come_.pop_front();
      if (to_come_.empty() || to_come_.front() != its) found("requests come back in another order");
      note_result(done, *its);
    }
    to_come_.pop_front();
    leave(*its);
    return done;
  }

  static void note_result(const asioq::asio_request& done, request_record& its) {
    its.said_error = done.error().value();
    its.said_transferred = done.bytes_transferred();
    if (is_transfer(its.what)) its.said_data.assign(reinterpret_cast<const char*>(its.buffer), its.length);
  }

  void check_result(const asioq::asio_request& done, const request_record& its) {
    const auto number = static_cast<unsigned long long>(its.sequence);
    if (done.sequence() != its.sequence) found("request %llu has a wrong number", number);
    if (done.error().value() != its.error)
      found("request %llu ends with error %d, must be %d", number, done.error().value(), its.error);
    if (done.bytes_transferred() != its.transferred)
      found("request %llu has transferred %zu bytes, must be %zu", number, done.bytes_transferred(), its.transferred);
    const std::string& must_be = its.what == operation::read ? its.data : its.text;
    if (is_transfer(its.what) && std::memcmp(its.buffer, must_be.data(), must_be.size()) != 0)
      found("request %llu has the wrong data", number);
    check_steps(its);
  }

  /// What the files have seen of a request that has finished.
  void check_steps(const request_record& its) {
    const auto number = static_cast<unsigned long long>(its.sequence);
    if (its.is_in_kernel) found("request %llu has finished, but is still in the kernel", number);
    if (!is_transfer(its.what)) return;
    if (its.has_begun != its.is_carried_out)
      found("request %llu was carried out, or was not, against the rules", number);
    if (its.progress != its.transferred)
      found("request %llu has moved %zu bytes, must be %zu", number, its.progress, its.transferred);
  }

  void leave(request_record& its) {
    its.has_returned = true;
    std::erase(in_queue_, &its);
  }

  void lose(asioq::asio_request& request) {
    auto* const its = static_cast<request_record*>(request.user_data());
    if (!request.error() || its->what == operation::read) found("nothing was lost");
    const bool is_to_come = its->is_abandoned || std::find(to_come_.begin(), to_come_.end(), its) != to_come_.end();
    if (!is_to_come || its->has_returned) found("what has come back cannot be lost");
    if (std::exchange(its->is_lost, true)) found("a request is lost twice");
    if (is_exact())
      check_result(request, *its);
    else
      note_result(request, *its);
    if (random_.one_in(4)) held_.push_back(std::move(request));
  }

  void check_end() {
    if (calls_ != 0) found("the queue is gone, and a request is still in the kernel");
    if (const request_record* const one = next_to_deliver(); one != nullptr)
      found("request %llu was never delivered", static_cast<unsigned long long>(one->sequence));
    for (const request_record* const one : to_deliver_)
      if (is_exact() && one->error != 0 && one->what != operation::read && !one->is_lost)
        found("request %llu has failed, and the owner was not told", static_cast<unsigned long long>(one->sequence));
    if (!is_exact()) follow();
    for (const request_record& one : records_) check_steps(one);
    for (const request_record* const one : to_come_)
      if (one->error != 0 && one->what != operation::read && !one->is_lost && !one->may_be_reported)
        found("request %llu has failed, and the owner was not told", static_cast<unsigned long long>(one->sequence));
    for (std::size_t i = 0; i < the_system.files.size(); ++i)
      if (the_system.files[i].content != model_->content(i))
        found("file %zu is \"%s\", must be \"%s\"", i, the_system.files[i].content.c_str(), model_->content(i).c_str());
  }

  static constexpr std::uint64_t all = ~std::uint64_t{0};

  /// Carries out in the model what the queue has carried out.
  void follow() {
    auto next_resume = resumes_.begin();
    auto next_open = opens_.begin();
    for (request_record& its : records_) {
      for (; next_resume != resumes_.end() && next_resume->next_request <= its.sequence; ++next_resume)
        look_back(next_resume->finished);
      const bool is_known = its.has_returned || its.is_lost;
      for (; next_open != opens_.end() && next_open->next_request <= its.sequence; ++next_open)
        model_->open(next_open->fd, next_open->its);
      const bool is_cancelled = is_transfer(its.what) ? !its.has_begun : its.said_error == ECANCELED;
      model_->follow(its, acknowledged_, is_cancelled, runs_in_order());
      const auto number = static_cast<unsigned long long>(its.sequence);
      if (its.op == asioq::asio_op::write_back && its.error != 0 && !is_known && !its.may_be_reported)
        found("request %llu has failed, and the owner was not told", number);
      if (!is_known) continue;
      if (its.said_error != its.error || its.said_transferred != its.transferred)
        found("request %llu ends with error %d and %zu bytes, must be %d and %zu", number, its.said_error,
              its.said_transferred, its.error, its.transferred);
      const std::string& must_be = its.what == operation::read ? its.data : its.text;
      if (!its.said_data.starts_with(must_be)) found("request %llu has the wrong data", number);
    }
  }

  struct open_call {
    std::uint64_t next_request;
    int fd;
    descriptor its;
  };

  struct resume_call {
    std::uint64_t finished;
    std::uint64_t next_request;
  };

  random_source random_;
  asioq::queue_options options_;
  task_pool pool_;
  bool shortens_ = false;
  bool fails_ = false;
  bool changes_files_ = false;    // requests truncate, allocate and close
  bool is_about_sizes_ = false;   // they do little else than truncate and what observes that
  bool is_never_inside_ = false;  // no task runs inside execute()
  bool receives_ = false;         // some requests have receivers
  bool loops_ = false;            // the owner sleeps on the descriptor
  bool cancels_ = false;          // requests are cancelled
  bool stalls_ = false;           // see may_end(); requests are not merged then, since merged ones finish together
  std::size_t operations_ = 0;
  std::optional<serial_model> model_;

  std::deque<request_record> records_;      // all that were submitted
  std::vector<request_record*> in_queue_;   // those that have not come back
  std::deque<request_record*> to_come_;     // those that have to come back, oldest first
  std::deque<request_record*> to_deliver_;  // those that have a receiver and have not been delivered, oldest first
  std::vector<request_record*> to_stop_;    // the bystander asks these to stop
  std::vector<std::stop_source> sources_to_stop_;
  queue_type* queue_ = nullptr;
  std::size_t received_ = 0;            // requests that have found their receiver
  bool is_receiving_ = false;           // a receiver has the thread
  bool may_deliver_ = false;            // the owner is in a call that delivers
  std::uint64_t delivers_below_ = all;  // that delivers only requests before this one
  std::size_t depth_ = 0;               // calls of the owner, one inside of the other
  bool closes_ = false;                 // the queue is being destroyed

  static inline program* watched_ = nullptr;
  static constexpr int first_descriptor = 0;  // the queue's: the event of a wait that can be stopped is made later
  int descriptor_ = -1;                       // -1: the owner has not asked for it
  std::size_t armed_ = 0;                     // times the owner has found nothing, and said so
  std::size_t taken_ = 0;                     // times a worker has taken the target, to make the descriptor readable
  std::uint64_t looks_from_ = 0;              // how many requests had finished when the owner's last call began
  bool is_armed_ = false;                     // the owner waits on the descriptor
  bool waits_for_any_ = false;     // it is in a wait that can be stopped, which does not know what comes back
  bool is_armed_for_any_ = false;  // and has armed it there
  std::size_t taken_before_ = 0;   // taken_ when the owner's last call began
  bool was_coming_ = false;        // then a worker had taken the target and not made the descriptor readable yet
  bool is_sure_ = false;           // if the descriptor becomes readable, there is something

  std::vector<asioq::asio_request> held_;
  std::vector<asioq::asio_request> bag_;  // to be destroyed by the bystander
  std::uint64_t submitted_ = 0;
  std::uint64_t resume_looks_at_ = 0;
  std::vector<resume_call> resumes_;  // if not is_exact()
  std::vector<open_call> opens_;      // likewise
  std::uint64_t acknowledged_ = 0;    // the owner has dealt with the failures of all requests before this one
  bool leaves_it_to_others_ = false;  // the owner is in a call that carries out no request
  std::size_t calls_ = 0;
  std::uint64_t next_to_run_ = 0;
  request_record* last_called_ = nullptr;  // the request of the last call that was no transfer
  bool is_interrupted_ = false;            // that call was interrupted
  std::uint64_t needs_ = all;  // the number of the youngest request that has to finish for the owner to go on
  std::size_t texts_ = 0;
  int last_fd_ = first_fd;
  std::uint64_t last_end_ = 0;
};

constexpr std::uint64_t schedules_of_a_program = 4;

std::uint64_t first_seed() {
  if (const char* const wanted = std::getenv("ASIOQ_SEED")) return std::strtoull(wanted, nullptr, 10);
  return std::random_device{}();
}

int explore(std::uint64_t count, std::optional<strategy> how) {
  const std::uint64_t first = first_seed();
  std::printf("seed %llu (repeat with ASIOQ_SEED=%llu)\n", static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(first));
  std::fflush(stdout);
  std::uint64_t steps = 0;
  for (std::uint64_t seed = first; seed != first + count; ++seed) {
    schedule::begin(seed, how.value_or(seed % 2 == 0 ? strategy::walk : strategy::priorities));
    program(random_source(seed / schedules_of_a_program).next()).run();
    steps += schedule::steps();
  }
  std::printf("%llu schedules with %llu steps: nothing found\n", static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(steps));
  return 0;
}

}  // namespace
}  // namespace asioq_explorer

int main(int argc, char** argv) {
  using namespace asioq_explorer;
  const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 200'000;
  std::optional<strategy> how;
  if (argc > 2) how = std::string_view(argv[2]) == "walk" ? strategy::walk : strategy::priorities;
  return explore(count, how);
}
