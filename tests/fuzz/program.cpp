#include "program.hpp"

#include <asioq/asioq.hpp>
#include <asioq/testing/simulated_disk.hpp>

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "../support/coroutines.hpp"
#include "../support/counting_allocator.hpp"
#include "bytes.hpp"
#include "check.hpp"
#include "queue_model.hpp"
#include "world.hpp"

namespace asioq_fuzz {

namespace {

using asioq::asio_op;
using asioq::asio_request;
using asioq_test::owned_task;

// Small enough for a program to meet every edge, and for the model to be quick.
constexpr std::size_t farthest = 1500;
constexpr std::size_t longest = 700;
constexpr std::size_t most_handles = 12;
constexpr std::size_t slots = 3;
constexpr int no_descriptor = 2'000'000;  // and above: numbers that the disk never gives

class fuzz_run;

/// What a receiver, or a coroutine, does with what it is given.
enum action : unsigned {
  drops,
  keeps,
  submits_again,
  submits_again_alone,
  delivers,
  syncs,
  cancels,
  resumes,
  shrinks,
  actions
};

/// A place for a queue, and what belongs to it.
struct slot {
  /// A coroutine and what stops it.
  struct talk {
    std::stop_source stop;
    std::optional<std::uint64_t> awaited;  // the submission that it waits for
    bool is_stopped = false;
    std::optional<owned_task> task;  // goes first
  };

  class receiver final : public asioq::completion {
   public:
    explicit receiver(slot& its) : its_(its) {}
    void finished(asio_request request) noexcept override;

   private:
    slot& its_;
  };

  slot(fuzz_run& its_run, const asioq::queue_options& options) : run(its_run), model(options), gets(*this) {}

  fuzz_run& run;
  queue_model model;
  receiver gets;
  std::optional<filters> around;
  std::unique_ptr<fuzzed_queue> owned;
  fuzzed_queue* queue = nullptr;  // also while the queue is being destroyed
  std::vector<std::unique_ptr<talk>> talks;
  std::uint64_t delivered = 0;  // to receivers and coroutines, or lost by these
  bool is_closing = false;
  bool keeps_lost = false;
  bool is_strict = false;
  std::size_t max_in_flight = 1;
};

/// A handle that the program has.
struct held {
  asio_request request;
  std::shared_ptr<slot> home;
};

/// What can be seen of a handle.
struct view {
  explicit view(const asio_request& of) : has_request(static_cast<bool>(of)) {
    if (!has_request) return;
    op = of.op();
    fd = of.fd();
    length = of.length();
    offset = of.offset();
    sequence = of.sequence();
    error = of.error().value();
    transferred = of.bytes_transferred();
    user_data = of.user_data();
    data = of.data().data();
    const std::span<const std::byte> all = of.buffer();
    bytes.assign(all.begin(), all.end());
  }
  bool operator==(const view&) const = default;

  bool has_request;
  asio_op op{};
  int fd = 0;
  std::size_t length = 0;
  std::uint64_t offset = 0;
  std::uint64_t sequence = 0;
  int error = 0;
  std::size_t transferred = 0;
  const void* user_data = nullptr;
  const std::byte* data = nullptr;
  std::vector<std::byte> bytes;
};

class fuzz_run {
 public:
  explicit fuzz_run(std::span<const std::uint8_t> bytes) : bytes_(bytes), disk_(disk_options()) {
    for (std::size_t i = 0; i < slots; ++i)
      for (std::size_t k = 0; k < 2; ++k)
        files_.push_back({.name = {static_cast<char>('a' + i), static_cast<char>('0' + k)}});
    shared_.name = "shared";
    shared_.possible.assign(farthest + longest, 1);  // zero
    shared_fd_ = disk_.open(shared_.name);
  }
  fuzz_run(const fuzz_run&) = delete;
  fuzz_run& operator=(const fuzz_run&) = delete;

  void run() {
    while (!bytes_.empty()) {
      step();
      look();
    }
    for (std::shared_ptr<slot>& its : slots_)
      if (its) destroy(its);
    must(disk_.in_flight() == 0, "an operation is in flight without a queue");
    handles_.clear();
    must(memory_.live == 0, "memory of requests has leaked");
  }

  void deliver(slot& its, asio_request request) noexcept {
    note_power_cuts();
    const submission done = its.model.came_back(request, true);
    ++its.delivered;
    act(its, std::move(request), done.action);
  }

 private:
  // ---- What the program is about.

  asioq::testing::disk_options disk_options() {
    asioq::testing::disk_options its{.seed = bytes_.below(256), .keeps_log = false};
    its.sector_size = std::array<std::size_t, 4>{512, 16, 100, 4096}[bytes_.below(4)];
    const std::size_t manners = bytes_.below(256);
    its.reorders = (manners & 1U) == 0;
    if ((manners & 2U) != 0) its.short_transfers = 0.5;
    if ((manners & 4U) != 0) its.short_transfers = 0;
    if ((manners & 8U) != 0) its.interruptions = 0;
    if ((manners & 16U) != 0) its.errors = 0.1;
    if ((manners & 32U) != 0) its.on_failed_sync = asioq::testing::failed_sync::keeps_data;
    if ((manners & 64U) != 0) its.capacity = 2048;
    if ((manners & 128U) != 0) its.latency.depth = 2;
    if (its.errors > 0) possible_.push_back(EIO);
    if (its.capacity == 2048) possible_.push_back(ENOSPC);
    return its;
  }

  void step() {
    const std::size_t choice = bytes_.below(50);
    if (choice < 20) {
      if (slot* const its = some_slot()) submit_something(*its);
      return;
    }
    switch (choice) {
      case 20:
        return make_queue();
      case 21:
        if (std::shared_ptr<slot>& its = slots_[bytes_.below(slots)]) destroy(its);
        return;
      case 22:
        return plan_failure();
      case 23:
        return add_bad_sector();
      case 24:
        return disk_.heal();
      case 25:
        note("crash");
        return disk_.crash();
      case 26:
        return disk_.crash_after(bytes_.below(24));
      case 27:
        return drop_or_move_a_handle();
      case 28:
        if (slot* const its = some_slot()) misuse(*its);
        return;
      case 29:
        return misuse_without_a_queue();
      case 30:
        return plan_refusals();
      default:
        break;
    }
    slot* const its = some_slot();
    if (its == nullptr) return;
    try {
      call(*its, choice - 31);
    } catch (const refusal&) {
      must(its->around->error() == ENOMEM, "a call throws what the executor has not thrown");
    }
  }

  /// A call of the owner.
  void call(slot& its, std::size_t choice) {
    switch (choice) {
      case 0:
        return collect(its, its.queue->wait(), true);
      case 1:
      case 2:
        return collect(its, its.queue->try_wait(), false);
      case 3:
        return timed_wait(its);
      case 4:
        return wait_with_token(its);
      case 5:
      case 6: {
        const std::uint64_t before = its.delivered;
        const std::size_t count = its.queue->poll();
        note("poll: %zu", count);
        return check_count(its, before, count);
      }
      case 7:
        return run_one(its);
      case 8:
        return sync(its);
      case 9:
        return resume(its);
      case 10:
        return cancel(its);
      case 11:
        note("shrink_to_fit");
        its.queue->shrink_to_fit();
        return must(its.queue->idle_requests() == 0, "an idle request is left");
      case 12:
        return stop_or_abandon(its);
      case 13:
        return check_readiness(its);
      case 14:
        return drain(its);
      default:
        return run_out_of_memory(its);
    }
  }

  /// The queue that the next byte chooses, or another if there is none; null if there is none at all.
  slot* some_slot() {
    const std::size_t first = bytes_.below(slots);
    for (std::size_t i = 0; i < slots; ++i)
      if (const std::shared_ptr<slot>& its = slots_[(first + i) % slots]) return its.get();
    make_queue();
    return nullptr;
  }

  // ---- Queues.

  void make_queue() {
    const std::size_t number = bytes_.below(slots);
    if (slots_[number]) return;
    asioq::queue_options options;
    options.buffer_size = std::array<std::size_t, 4>{longest, 64, 512, 4097}[bytes_.below(4)];
    const std::size_t manners = bytes_.below(64);
    options.order = (manners & 1U) == 0 ? asioq::execution_order::as_if_serial : asioq::execution_order::strict;
    options.on_failure = (manners & 2U) == 0 ? asioq::failure_policy::proceed : asioq::failure_policy::hold;
    options.max_writebacks = (manners & 4U) == 0 ? 16 : 2;
    options.max_in_flight = (manners & 8U) == 0 ? 32 : 3;
    options.max_requests = (manners & 16U) == 0 ? 0 : 5;
    const std::size_t which = bytes_.below(5);
    const std::size_t flaws = which == 0 ? 0 : bytes_.below(256);
    auto its = std::make_shared<slot>(*this, options);
    its->keeps_lost = (manners & 32U) != 0;
    options.on_lost_failure = [home = its.get()](asio_request& request) { home->run.lose(*home, request); };
    its->is_strict = options.order == asioq::execution_order::strict;
    its->max_in_flight = its->is_strict ? 1 : options.max_in_flight;
    its->around.emplace(disk_, which,
                        asioq::testing::fault_options{.seed = flaws,
                                                      .errors = flaws % 4 == 3 ? 0.1 : 0,
                                                      .error = std::errc::no_such_device_or_address,
                                                      .short_transfers = flaws % 8 >= 4 ? 0.5 : 0.125});
    for (const int error : possible_) its->model.may_fail_with(error);
    its->model.may_fail_with(its->around->error());
    settle_numbers();
    for (std::size_t k = 0; k < 4; ++k) {
      modelled_file& file = files_[number * 2 + k / 3];
      its->model.descriptors.push_back({.file = &file, .appends = k == 2});
    }
    its->model.descriptors.push_back({.file = &shared_, .fd = shared_fd_});
    for (std::size_t k = 0; k < 2; ++k) take_over(files_[number * 2 + k]);
    open_descriptors(*its);
    note("queue %zu: %s, %s, filter %zu, buffers of %zu", number, its->is_strict ? "strict" : "as if serial",
         options.on_failure == asioq::failure_policy::hold ? "hold" : "proceed", which, options.buffer_size);
    its->owned = std::make_unique<fuzzed_queue>(its->around->executor(), options,
                                                asioq_test::counting_allocator<std::byte>(memory_));
    its->queue = its->owned.get();
    slots_[number] = std::move(its);
  }

  /// The file is as the disk has it now.
  void take_over(modelled_file& file) const {
    file.content = contents(file);
    file.is_unknown = file.is_durable = file.has_lost = false;
  }

  [[nodiscard]] std::string contents(const modelled_file& file) const {
    const std::vector<std::byte> bytes = disk_.contents(file.name);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  void open_descriptors(slot& its) {
    for (modelled_descriptor& on : its.model.descriptors) {
      if (on.file->is_shared()) {
        on.fd = shared_fd_;
        on.is_open = true;
        on.is_to_be_closed = false;
      } else if (!on.is_open || on.fd < 0 || on.fd >= no_descriptor) {
        on.fd = disk_.open(on.file->name, {.appends = on.appends});
        on.is_open = true;
        on.is_to_be_closed = false;
        on.position = 0;
      }
    }
  }

  /// The disk gives a number again that was closed. Before that, no request may have it any more.
  void settle_numbers() {
    for (std::shared_ptr<slot>& its : slots_) {
      if (!its) continue;
      if (std::ranges::none_of(its->model.descriptors, &modelled_descriptor::is_to_be_closed)) continue;
      drain(*its, false);
      for (modelled_descriptor& on : its->model.descriptors)
        if (!on.is_open && !on.file->is_shared()) on.fd = no_descriptor + next_number_++;
    }
  }

  void destroy(std::shared_ptr<slot>& its) {
    const std::size_t manner = bytes_.below(4);
    if (manner < 2) drain(*its, false);
    if (manner == 3) cancel(*its);
    note("destroy a queue with %zu running", its->queue->running_requests());
    look();
    its->is_closing = true;
    its->owned.reset();
    note_power_cuts();
    its->model.closed();
    must(its->model.has_followed_all(), "the fuzzer does not know how it went");
    for (const auto& talk : its->talks) {
      must(talk->task->is_done(), "a coroutine still waits when its queue is gone");
      talk->task->rethrow();
    }
    check_files(*its);
    for (const modelled_descriptor& on : its->model.descriptors)
      if (on.is_open && !on.file->is_shared()) close(on);
    its->around->check_trace();
    std::erase_if(handles_, [&](const held& one) { return one.home == its && bytes_.chance(2); });
    its.reset();
  }

  void close(const modelled_descriptor& on) {
    try {
      disk_.close(on.fd);
    } catch (const std::system_error&) {
      must(on.file->is_unknown, "a descriptor has been closed without a close");
    }
  }

  void check_files(const slot& its) const {
    for (const modelled_descriptor& on : its.model.descriptors) {
      if (on.file->is_shared() || on.file->is_unknown) continue;
      must(contents(*on.file) == on.file->content, "a file has another content than after a serial run");
    }
  }

  /// Waits for everything, and compares.
  void drain(slot& its, bool opens = true) {
    note("drain");
    while (asio_request done = its.queue->wait()) collect(its, std::move(done), true);
    its.model.has_no_more_to_collect();
    while (its.queue->run_one() != 0) {
    }
    // What receivers have submitted without one.
    while (asio_request done = its.queue->wait()) collect(its, std::move(done), true);
    look();
    its.model.has_no_more_to_collect();
    its.model.has_no_more_to_deliver();
    must(its.queue->running_requests() == 0, "something runs when all has come back");
    must(its.model.has_followed_all(), "the fuzzer does not know how it went");
    its.model.counted_at_rest(its.queue->allocated_requests());
    check_files(its);
    for (modelled_descriptor& on : its.model.descriptors) {
      if (on.is_open) on.is_to_be_closed = false;
      if (on.file->is_unknown) take_over(*on.file);
    }
    if (!opens) return;
    settle_numbers_but(its);
    open_descriptors(its);
  }

  void settle_numbers_but(const slot& its) {
    for (std::shared_ptr<slot>& other : slots_) {
      if (!other || other.get() == &its) continue;
      if (std::ranges::none_of(other->model.descriptors, &modelled_descriptor::is_to_be_closed)) continue;
      drain(*other, false);
      for (modelled_descriptor& on : other->model.descriptors)
        if (!on.is_open && !on.file->is_shared()) on.fd = no_descriptor + next_number_++;
    }
  }

  // ---- After each call.

  void look() {
    note_power_cuts();
    std::size_t most = 0;
    for (const std::shared_ptr<slot>& its : slots_) {
      if (!its) continue;
      fuzzed_queue& queue = *its->queue;
      its->model.counted(queue.completed_through(), queue.running_requests(), queue.running_writebacks(),
                         queue.allocated_requests(), queue.idle_requests());
      most += its->max_in_flight;
    }
    must(disk_.in_flight() <= most, "more is in flight than may be");
  }

  void note_power_cuts() {
    if (disk_.power_cuts() == power_cuts_) return;
    power_cuts_ = disk_.power_cuts();
    note("the power has failed");
    possible_.push_back(EIO);
    for (const std::shared_ptr<slot>& its : slots_) {
      if (!its) continue;
      if (its->model.has_followed_all())
        for (const modelled_descriptor& on : its->model.descriptors)
          if (!on.file->is_shared() && on.file->is_durable && !on.file->is_unknown)
            must(contents(*on.file) == on.file->content, "what a sync has covered is gone");
      its->model.power_failed();
      its->model.may_fail_with(EIO);
    }
    for (modelled_file& file : files_) take_over(file);
    shared_fd_ = disk_.open(shared_.name);
  }

  // ---- Requests.

  void submit_something(slot& its) {
    asio_request request = some_handle(its);
    if (!request) return;
    const bool is_again = request.op() != asio_op::free && bytes_.chance(4) &&
                          its.model.descriptor_of(request.fd()) < its.model.descriptors.size();
    if (!is_again) prepare(its, request);
    const std::size_t way = bytes_.below(8);
    if (way < 4) return submit(its, std::move(request), nullptr, 0);
    if (way < 7) return submit(its, std::move(request), &its.gets, static_cast<unsigned>(bytes_.below(actions)));
    talk_about(its, std::move(request));
  }

  /// A handle of this queue's that the program has, or a new one; empty if none is to be had.
  asio_request some_handle(slot& its) {
    if (bytes_.chance(4)) {
      const auto one = std::ranges::find_if(handles_, [&](const held& other) { return other.home.get() == &its; });
      if (one != handles_.end()) {
        asio_request request = std::move(one->request);
        handles_.erase(one);
        return request;
      }
    }
    asio_request request = its.queue->try_get();
    if (!request) {
      must(its.queue->options().max_requests != 0 &&
               its.queue->allocated_requests() == its.queue->options().max_requests,
           "try_get() finds nothing below the limit");
      return request;
    }
    ++its.model.handles;
    must(request.op() == asio_op::free && request.fd() == -1 && request.length() == 0 && !request.error() &&
             request.bytes_transferred() == 0 && request.user_data() == nullptr,
         "a new request is not empty");
    must(request.buffer().size() == its.queue->options().buffer_size, "a buffer has another size");
    must(reinterpret_cast<std::uintptr_t>(request.buffer().data()) % asioq::buffer_alignment == 0,
         "a buffer is not aligned");
    return request;
  }

  void prepare(slot& its, asio_request& request) {
    const std::size_t number = bytes_.below(its.model.descriptors.size());
    const modelled_descriptor& on = its.model.descriptors[number];
    const bool is_shared = on.file->is_shared();
    const std::size_t room = std::min(request.buffer().size(), longest);
    const std::size_t kind = bytes_.below(16);
    const std::uint64_t offset = some_place();
    const std::size_t length = some_length(room);
    const bool at_position = !is_shared && bytes_.chance(4);
    fill(request);
    switch (kind) {
      case 0:
      case 1:
      case 2:
      case 3:
        at_position ? request.prepare_read(on.fd, length) : request.prepare_read(on.fd, length, offset);
        break;
      case 4:
      case 5:
      case 6:
        at_position ? request.prepare_write(on.fd, length) : request.prepare_write(on.fd, length, offset);
        break;
      case 7:
      case 8:
      case 9:
      case 10:
        at_position ? request.prepare_write_back(on.fd, length) : request.prepare_write_back(on.fd, length, offset);
        break;
      case 11:
        request.prepare_fsync(on.fd);
        break;
      case 12:
        request.prepare_fdatasync(on.fd);
        break;
      case 13:
        request.prepare_truncate(on.fd, offset);
        break;
      case 14:
        request.prepare_allocate(on.fd, length + 1, offset);
        break;
      default:
        if (is_shared)
          request.prepare_fsync(on.fd);
        else
          request.prepare_close(on.fd);
    }
    if (asioq::traits_of(request.op()).transfers && bytes_.chance(4))
      request.use_from(bytes_.below(request.buffer().size() - length + 1));
    request.set_user_data(bytes_.chance(2) ? &its : nullptr);
  }

  /// Mostly one of few, so that requests meet.
  std::size_t some_place() {
    const std::size_t place = bytes_.below(farthest / 64) * 64;
    return bytes_.chance(4) ? place + bytes_.below(64) : place;
  }

  std::size_t some_length(std::size_t room) {
    constexpr std::array lengths{std::size_t{64},  std::size_t{0},   std::size_t{1},
                                 std::size_t{100}, std::size_t{512}, longest};
    const std::size_t which = bytes_.below(lengths.size() + 2);
    return std::min(room, which < lengths.size() ? lengths[which] : bytes_.below(longest));
  }

  void fill(asio_request& request) {
    // What a whole program writes differs from place to place, and from write to write.
    ++writes_;
    const std::span<std::byte> all = request.buffer();
    const std::size_t count = std::min(all.size(), 2 * longest);
    for (std::size_t i = 0; i < count; ++i) all[i] = static_cast<std::byte>(1 + (writes_ * 7 + i + i / 251) % 255);
  }

  void submit(slot& its, asio_request request, slot::receiver* receiver, unsigned action) {
    submission& entry = its.model.begin(request, receiver != nullptr);
    entry.action = action;
    note("submit %llu: %s of %zu at %lld, descriptor %zu%s", static_cast<unsigned long long>(entry.sequence),
         asioq::traits_of(entry.op).name, entry.length, static_cast<long long>(entry.offset), entry.descriptor,
         receiver != nullptr ? ", with a receiver" : "");
    const view before(request);
    const bool may_throw = receiver == nullptr && request.op() == asio_op::write_back;
    const std::uint64_t finished = its.queue->completed_through();
    try {
      if (receiver != nullptr)
        its.queue->submit(std::move(request), *receiver);
      else
        its.queue->submit(std::move(request));
      must(!request, "submit() leaves the handle");  // NOLINT(bugprone-use-after-move)
      if (may_throw) its.model.did_not_throw(finished);
    } catch (const asioq::write_back_error& error) {
      its.model.take_back();
      must(may_throw, "submit() of something else than a write-back throws a write_back_error");
      must(view(request) == before, "submit() throws, and changes the request");
      its.model.threw(error, its.queue->completed_through());
      keep(its, std::move(request));
    } catch (const refusal&) {
      its.model.take_back();
      must(view(request) == before, "submit() throws, and changes the request");
      keep(its, std::move(request));
    } catch (const std::system_error& error) {
      its.model.take_back();
      must(its.is_closing && error.code() == std::errc::operation_not_permitted, "submit() throws for no reason");
      must(view(request) == before, "submit() throws, and changes the request");
      keep(its, std::move(request));
    }
  }

  /// Keeps the handle, or drops it if there are enough.
  void keep(slot& its, asio_request request) {
    if (handles_.size() < most_handles)
      handles_.push_back({std::move(request), shared_from(its)});
    else
      drop(its, std::move(request));
  }

  static void drop(slot& its, asio_request request) {
    --its.model.handles;
    request = asio_request();
  }

  std::shared_ptr<slot> shared_from(const slot& its) {
    const auto found = std::ranges::find_if(slots_, [&](const auto& one) { return one.get() == &its; });
    return found == slots_.end() ? nullptr : *found;
  }

  void collect(slot& its, asio_request done, bool is_empty_at_rest) {
    if (!done) {
      if (is_empty_at_rest) its.model.has_no_more_to_collect();
      return;
    }
    note("collected %llu: %d", static_cast<unsigned long long>(done.sequence()), done.error().value());
    note_power_cuts();
    its.model.came_back(done, false);
    must(done.sequence() < its.queue->completed_through(), "a request is returned that has not finished");
    if (bytes_.chance(2))
      keep(its, std::move(done));
    else
      drop(its, std::move(done));
  }

  void act(slot& its, asio_request request, unsigned what) noexcept {
    note("delivered %llu: %d", static_cast<unsigned long long>(request.sequence()), request.error().value());
    if (!its.is_closing)
      must(request.sequence() < its.queue->completed_through(), "a request is delivered that has not finished");
    switch (what) {
      case drops:
        return drop(its, std::move(request));
      case submits_again:
      case submits_again_alone:
        // A descriptor may have been opened anew.
        if (chains_left_ == 0 || its.model.descriptor_of(request.fd()) == its.model.descriptors.size()) break;
        --chains_left_;
        return submit(its, std::move(request), what == submits_again ? &its.gets : nullptr,
                      chains_left_ % 2 == 0 ? submits_again : syncs);
      case delivers:
        must_not_deliver(its);
        break;
      case syncs:
        sync(its);
        break;
      case cancels:
        cancel(its);
        break;
      case resumes:
        resume(its);
        break;
      case shrinks:
        if (!its.is_closing) its.queue->shrink_to_fit();
        break;
      default:
        break;
    }
    keep(its, std::move(request));
  }

  static void must_not_deliver(slot& its) {
    if (its.is_closing) return;
    const auto is_refused = [](auto call) {
      try {
        call();
      } catch (const std::system_error& error) {
        return error.code() == std::errc::resource_deadlock_would_occur;
      }
      return false;
    };
    fuzzed_queue& queue = *its.queue;
    must(is_refused([&] { static_cast<void>(queue.wait()); }) &&
             is_refused([&] { static_cast<void>(queue.try_wait()); }) &&
             is_refused([&] { static_cast<void>(queue.poll()); }) &&
             is_refused([&] { static_cast<void>(queue.run_one()); }) &&
             is_refused([&] { static_cast<void>(queue.wait_for(std::chrono::seconds(1))); }),
         "a receiver may deliver");
  }

  void lose(slot& its, asio_request& request) {
    note("lost %llu: %d", static_cast<unsigned long long>(request.sequence()), request.error().value());
    note_power_cuts();
    its.model.was_lost(request, its.is_closing);
    if (its.model.at(request.sequence()).is_abandoned) ++its.delivered;
    if (its.is_closing) {
      const view before(request);
      const auto is_refused = [&] {
        try {
          its.queue->submit(std::move(request), its.gets);
        } catch (const std::system_error& error) {
          return error.code() == std::errc::operation_not_permitted;
        }
        return false;
      };
      must(is_refused(), "a queue that is being destroyed takes a request");
      must(view(request) == before, "submit() throws, and changes the request");
    }
    if (!its.keeps_lost) return;
    asio_request kept = std::move(request);
    ++its.model.handles;
    keep(its, std::move(kept));
  }

  // ---- Coroutines.

  void talk_about(slot& its, asio_request request) {
    std::erase_if(its.talks, [](const auto& one) {
      if (!one->task->is_done()) return false;
      one->task->rethrow();
      return true;
    });
    if (its.talks.size() >= 8) return drop(its, std::move(request));
    slot::talk& fresh = *its.talks.emplace_back(std::make_unique<slot::talk>());
    const std::size_t manner = bytes_.below(8);
    if (manner == 7) {
      fresh.stop.request_stop();
      fresh.is_stopped = true;
    }
    fresh.task.emplace(converse(its, fresh, std::move(request), manner % 4));
  }

  owned_task converse(slot& its, slot::talk& about, asio_request request, std::size_t rounds) {
    for (;;) {
      submission& entry = its.model.begin(request, true);
      about.awaited = entry.sequence;
      entry.may_be_cancelled = entry.must_be_cancelled = about.is_stopped;
      note("await %llu: %s of %zu at %lld, descriptor %zu", static_cast<unsigned long long>(entry.sequence),
           asioq::traits_of(entry.op).name, entry.length, static_cast<long long>(entry.offset), entry.descriptor);
      const view before(request);
      bool is_refused = false;
      try {
        asio_request done = co_await its.queue->async_submit(std::move(request), about.stop.get_token());
        request = std::move(done);
      } catch (const refusal&) {
        must(view(request) == before, "async_submit throws, and changes the request");
        is_refused = true;
      } catch (const std::system_error& error) {
        must(its.is_closing && error.code() == std::errc::operation_not_permitted, "async_submit throws for no reason");
        must(view(request) == before, "async_submit throws, and changes the request");
        is_refused = true;
      }
      about.awaited.reset();
      if (is_refused) {
        its.model.take_back();
        break;
      }
      note_power_cuts();
      its.model.came_back(request, true);
      ++its.delivered;
      if (rounds-- == 0 || its.model.descriptor_of(request.fd()) == its.model.descriptors.size()) break;
    }
    keep(its, std::move(request));
  }

  void stop_or_abandon(slot& its) {
    const bool stops = bytes_.chance(2);
    if (its.talks.empty()) return;
    const std::size_t which = bytes_.below(its.talks.size());
    slot::talk& one = *its.talks[which];
    note("%s a coroutine", stops ? "stop" : "destroy");
    if (stops) {
      if (one.awaited) its.model.cancels(*one.awaited, its.queue->completed_through());
      one.is_stopped = true;
      one.stop.request_stop();
      return;
    }
    if (one.awaited) its.model.at(*one.awaited).is_abandoned = true;
    its.talks.erase(its.talks.begin() + static_cast<std::ptrdiff_t>(which));
  }

  // ---- Calls.

  void timed_wait(slot& its) {
    using namespace std::chrono_literals;
    note("timed wait");
    fuzzed_queue& queue = *its.queue;
    switch (bytes_.below(7)) {
      case 0:
        return collect(its, queue.wait_for(0s), false);
      case 1:
        return collect(its, queue.wait_for(-1h), false);
      case 2:
        return collect(its, queue.wait_for(std::chrono::hours::max()), true);
      case 3:
        return collect(its, queue.wait_for(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())),
                       false);
      case 4:
        return collect(its, queue.wait_until(std::chrono::system_clock::time_point::min()), false);
      case 5:
        return collect(its, queue.wait_until(std::chrono::steady_clock::time_point::max()), true);
      default:
        return collect(its, queue.wait_for(std::chrono::duration<float, std::ratio<3600>>(1e30F)), true);
    }
  }

  void wait_with_token(slot& its) {
    note("wait with a token");
    std::stop_source source;
    const std::size_t manner = bytes_.below(3);
    if (manner == 0) return collect(its, its.queue->wait(std::stop_token()), true);
    if (manner == 1) source.request_stop();
    collect(its, its.queue->wait(source.get_token()), manner != 1);
  }

  /// What a coroutine does not wait for any more counts, too.
  static void check_count(const slot& its, std::uint64_t before, std::size_t count) {
    const std::uint64_t delivered = its.delivered - before;
    must(count >= delivered && count <= delivered + its.model.abandoned(), "poll() or run_one() counts wrongly");
  }

  void run_one(slot& its) {
    const std::uint64_t before = its.delivered;
    const std::size_t count = its.queue->run_one();
    note("run_one: %zu", count);
    must(count <= 1, "run_one() delivers more than one");
    check_count(its, before, count);
    if (count == 0) its.model.has_no_more_to_deliver();
  }

  void sync(slot& its) {
    if (its.is_closing) return;
    note("sync");
    try {
      its.queue->sync();
      its.model.did_not_throw(its.model.submitted());
    } catch (const asioq::write_back_error& error) {
      its.model.threw(error, its.model.submitted());
    }
    must(its.queue->running_requests() == 0, "sync() leaves something running");
    must(its.queue->completed_through() == its.model.submitted(), "sync() leaves something unfinished");
  }

  void resume(slot& its) {
    if (its.is_closing) return;
    note("resume");
    its.queue->resume();
    its.model.resumed(its.queue->completed_through());
  }

  void cancel(slot& its) {
    if (its.is_closing) return;
    note("cancel");
    its.model.cancels_all(its.queue->completed_through());
    its.queue->cancel();
  }

  /// Where the descriptor is not readable, a call finds nothing.
  void check_readiness(slot& its) {
    pollfd its_descriptor{.fd = its.queue->native_handle(), .events = POLLIN, .revents = 0};
    must(::poll(&its_descriptor, 1, 0) >= 0, "poll(2) fails");
    const bool is_readable = (its_descriptor.revents & POLLIN) != 0;
    note("the descriptor is %sreadable", is_readable ? "" : "not ");
    const std::uint64_t before = its.delivered;
    const std::size_t count = its.queue->poll();
    asio_request done = its.queue->try_wait();
    must(is_readable || (count == 0 && before == its.delivered && !done),
         "the descriptor is not readable, and there is something to find");
    collect(its, std::move(done), false);
  }

  void run_out_of_memory(slot& its) {
    note("no memory");
    const std::size_t allocated = its.queue->allocated_requests();
    memory_.budget = static_cast<long>(bytes_.below(2));
    bool is_out_of_memory = false;
    asio_request request;
    try {
      request = its.queue->try_get();
    } catch (const std::bad_alloc&) {
      is_out_of_memory = true;
    }
    memory_.budget = std::numeric_limits<long>::max();
    if (is_out_of_memory)
      must(its.queue->allocated_requests() <= allocated && its.queue->idle_requests() == 0,
           "get() throws, and changes something");
    if (!request) return;
    ++its.model.handles;
    drop(its, std::move(request));
  }

  // ---- Handles.

  void drop_or_move_a_handle() {
    const std::size_t manner = bytes_.below(4);
    if (handles_.empty()) return;
    held& one = handles_[bytes_.below(handles_.size())];
    note("handle %zu", manner);
    const view before(one.request);
    if (manner == 0) {
      asio_request moved(std::move(one.request));
      must(!one.request, "a handle that is moved from is not empty");  // NOLINT(bugprone-use-after-move)
      one.request = std::move(moved);
    } else if (manner == 1) {
      asio_request& same = one.request;
      one.request = std::move(same);
    } else if (manner == 2) {
      asio_request other;
      swap(other, one.request);
      must(!one.request, "a handle that is swapped with an empty one is not empty");
      other.swap(one.request);
    } else {
      std::swap(one, handles_.back());
      drop(*handles_.back().home, std::move(handles_.back().request));
      handles_.pop_back();
      return;
    }
    must(view(one.request) == before, "a handle that is moved has changed");
  }

  // ---- Bad use.

  template <class Call>
  static bool is_refused(Call call) {
    try {
      call();
    } catch (const std::invalid_argument&) {
      return true;
    }
    return false;
  }

  /// Must throw, and change neither the queue nor the request.
  void misuse(slot& its) {
    const std::size_t kind = bytes_.below(14);
    note("misuse %zu", kind);
    asio_request request = its.queue->try_get();
    if (!request) return;
    ++its.model.handles;
    if (kind != 0) prepare(its, request);
    fuzzed_queue& queue = *its.queue;
    const view before(request);
    const std::uint64_t finished = queue.completed_through();
    const int fd = its.model.descriptors[0].fd;
    const std::size_t room = request.buffer().size();
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    const auto refuses = [&] {
      switch (kind) {
        case 0:
          return is_refused([&] { queue.submit(std::move(request)); });
        case 1:
          return is_refused([&] { request.prepare_read(-1, 1, 0); });
        case 2:
          return is_refused([&] { request.prepare_write(fd, room + 1, 0); });
        case 3:
          return is_refused([&] { request.prepare_write_back(fd, 1, most); });
        case 4:
          return is_refused([&] { request.prepare_truncate(fd, most + 1); });
        case 5:
          return is_refused([&] { request.prepare_allocate(fd, 0, 0); });
        case 6:
          return is_refused([&] { request.prepare_allocate(fd, std::numeric_limits<std::size_t>::max(), 1); });
        case 7:
          return is_refused([&] { request.use_from(room + 1); });
        case 8:
          return is_refused([&] { request.prepare_close(-1); });
        case 9:
          return is_refused([&] { request.prepare_fsync(std::numeric_limits<int>::min()); });
        case 10:
          return is_refused([&] { request.prepare_read(fd, 0, static_cast<std::uint64_t>(-1)); });
        case 11: {
          asio_request empty;
          return is_refused([&] { queue.submit(std::move(empty)); }) && is_refused([&] { empty.prepare_fsync(fd); }) &&
                 is_refused([&] { static_cast<void>(empty.buffer()); }) &&
                 is_refused([&] { queue.submit(std::move(empty), its.gets); });
        }
        case 12:
          return is_refused_by_another(its, request);
        default:
          return is_get_refused(queue);
      }
    };
    must(refuses(), "a wrong call is accepted");
    must(view(request) == before, "a wrong call changes the request");  // NOLINT(bugprone-use-after-move)
    must(queue.completed_through() == finished, "a wrong call changes the queue");
    drop(its, std::move(request));
  }

  bool is_refused_by_another(const slot& its, asio_request& request) {
    for (const std::shared_ptr<slot>& other : slots_) {
      if (!other || other.get() == &its) continue;
      const std::uint64_t finished = other->queue->completed_through();
      if (!is_refused([&] { other->queue->submit(std::move(request)); })) return false;
      if (!is_refused([&] { other->queue->submit(std::move(request), other->gets); })) return false;
      must(other->queue->completed_through() == finished, "a wrong call changes the queue");
    }
    return true;
  }

  /// At the limit, `get()` throws where `try_get()` is empty.
  bool is_get_refused(fuzzed_queue& queue) {
    std::vector<asio_request> all;
    while (all.size() < 6) {
      asio_request one = queue.try_get();
      if (!one) break;
      all.push_back(std::move(one));
    }
    if (all.size() == 6) return queue.options().max_requests == 0;
    try {
      all.push_back(queue.get());
    } catch (const std::system_error& error) {
      return error.code() == std::errc::not_enough_memory;
    }
    return false;
  }

  void misuse_without_a_queue() {
    const std::size_t kind = bytes_.below(4);
    note("misuse without a queue %zu", kind);
    asioq::queue_options options;
    if (kind == 0) options.buffer_size = 0;
    if (kind == 1) options.max_writebacks = 0;
    if (kind == 2) options.max_in_flight = 0;
    if (kind < 3)
      must(is_refused([&] { const asioq::basic_asio_queue<disk_executor> queue(disk_.executor(), options); }),
           "a queue with wrong options is made");
    else
      must(is_refused([&] { disk_.fail_next(asio_op::free, std::errc::io_error); }), "a wrong plan is accepted");
  }

  // ---- Faults.

  asio_op some_op() {
    constexpr std::array all{asio_op::write,     asio_op::read,     asio_op::write_back, asio_op::fsync,
                             asio_op::fdatasync, asio_op::truncate, asio_op::allocate,   asio_op::close};
    return all[bytes_.below(all.size())];
  }

  std::errc planned_error() {
    constexpr std::array all{std::errc::io_error,       std::errc::no_space_on_device,
                             std::errc::interrupted,    std::errc::resource_unavailable_try_again,
                             std::errc::file_too_large, std::errc::read_only_file_system};
    const std::errc error = all[bytes_.below(all.size())];
    may_fail_with(static_cast<int>(error));
    return error;
  }

  void plan_failure() {
    const asio_op op = some_op();
    const std::errc error = planned_error();
    const std::size_t others = bytes_.below(4);
    note("fail %s after %zu", asioq::traits_of(op).name, others);
    disk_.fail_next(op, error, others);
  }

  void plan_refusals() {
    slot* const its = some_slot();
    if (its == nullptr) return;
    const std::size_t starts = bytes_.below(4);
    const std::size_t turns = bytes_.below(3);
    its->around->refuse(starts, turns);
  }

  void add_bad_sector() {
    const std::size_t which = bytes_.below(files_.size() + 1);
    asioq::testing::bad_sector bad{.file = which == files_.size() ? shared_.name : files_[which].name};
    bad.offset = some_place();
    if (bytes_.chance(2)) bad.length = 1 + some_length(longest);
    const std::size_t manner = bytes_.below(4);
    bad.reads = manner != 0;
    bad.writes = manner != 1;
    if (manner == 3) bad.error = std::errc::no_message_available;
    may_fail_with(static_cast<int>(bad.error));
    note("bad sector of %s at %zu", bad.file.c_str(), static_cast<std::size_t>(bad.offset));
    disk_.add(std::move(bad));
  }

  void may_fail_with(int error) {
    possible_.push_back(error);
    for (const std::shared_ptr<slot>& its : slots_)
      if (its) its->model.may_fail_with(error);
  }

  friend struct slot;

  byte_source bytes_;
  std::vector<int> possible_;      // errors that may come
  asioq_test::memory_log memory_;  // outlives the handles
  simulated_disk disk_;            // outlives the queues
  std::deque<modelled_file> files_;
  modelled_file shared_;
  int shared_fd_ = -1;
  std::array<std::shared_ptr<slot>, slots> slots_;
  std::vector<held> handles_;
  std::size_t power_cuts_ = 0;
  std::size_t chains_left_ = 64;
  std::size_t writes_ = 0;
  int next_number_ = 0;
};

void slot::receiver::finished(asio_request request) noexcept { its_.run.deliver(its_, std::move(request)); }

}  // namespace

void run_program(std::span<const std::uint8_t> bytes) {
  fuzz_run run(bytes);
  run.run();
}

}  // namespace asioq_fuzz
