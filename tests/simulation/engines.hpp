// What the queues of a program are on: a simulated disk, or an executor of tasks and a kernel with the files of such a
// disk. Both tell the models of each step, and let it go as the luck of its request has it.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/executor.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/io_operation.hpp>
#include <asioq/operation.hpp>
#include <asioq/task.hpp>
#include <asioq/testing/detail/disk_files.hpp>
#include <asioq/testing/detail/filter.hpp>
#include <asioq/testing/detail/generator.hpp>
#include <asioq/testing/simulated_disk.hpp>

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "calls.hpp"
#include "finding.hpp"
#include "model.hpp"
#include "program.hpp"

namespace asioq_simulation {

using asioq::testing::detail::generator;

inline bool one_in(generator& random, std::uint64_t rate) { return rate != 0 && random.below(rate) == 0; }

inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What a refusing executor throws.
struct refusal : std::system_error {
  refusal() : std::system_error(EAGAIN, std::system_category(), "refused") {}
};

/// What the engines have to know of the program that runs.
class world {
 public:
  explicit world(const program& its) : plan(its), luck(its.seed) {}

  const program& plan;
  generator luck;  // of what the scheduler decides now
  std::vector<queue_model*> queues;
  std::size_t queue_in_call = none;  // of which the owner is in a call that does not carry out anything
  std::size_t refusals = 0;
  bool is_blocking = false;  // the owner is in a call that blocks

  static constexpr std::size_t none = ~std::size_t{0};

  [[nodiscard]] std::size_t queue_of(int fd) const {
    const auto its = owners.find(fd);
    return its == owners.end() ? none : its->second;
  }
  std::map<int, std::size_t> owners;  // of each descriptor that there ever was

  /// What the scheduler decides for the next step of a request.
  [[nodiscard]] fate next_fate(const request& its, std::size_t length, bool is_open) const {
    generator random(its.luck + its.calls * 0x9e3779b97f4a7c15U);
    fate decided;
    if (!is_open || (plan.on == engine::disk && its.op == asio_op::close)) return decided;
    if (one_in(random, plan.fails)) {
      decided.refusal = random.below(2) == 0 ? EIO : ENOSPC;
      if (its.traits().is_sync && random.below(3) == 0) decided.refusal = EINVAL;
    }
    if (one_in(random, plan.interrupts) && its.calls < 20) decided.refusal = EINTR;
    if (its.traits().transfers && length > 1 && one_in(random, plan.shortens))
      decided.limit = 1 + static_cast<std::size_t>(random.below(length - 1));
    return decided;
  }

  /// The executor may refuse now.
  void refuse_now_and_then() {
    if (!one_in(luck, plan.refuses)) return;
    ++refusals;
    throw refusal();
  }

  request& find(const std::byte* data) {
    for (queue_model* const one : queues)
      if (one != nullptr)
        if (request* const its = one->find(data)) {
          last_queue_ = one;
          return *its;
        }
    found("a step for a buffer that no queue has");
  }
  /// The queue of the request that was found last.
  [[nodiscard]] queue_model& queue_of_last() const { return *last_queue_; }

 private:
  queue_model* last_queue_ = nullptr;
};

/// A simulated disk, and around it what fails and tells.
class told_disk : public asioq::testing::detail::filter<asioq::testing::simulated_disk::executor_type, told_disk> {
  using base = asioq::testing::detail::filter<asioq::testing::simulated_disk::executor_type, told_disk>;

 public:
  told_disk(world& its, asioq::testing::simulated_disk& disk) : base(disk.executor()), world_(its), disk_(disk) {}

  /// Whether it has nothing to complete.
  [[nodiscard]] bool is_idle() const noexcept { return underway_.empty(); }

  /// The names of the files that descriptors mean, for those that look into them.
  std::map<int, std::string> names;

 private:
  friend base;

  struct underway {
    const void* its_step;
    queue_model* queue;
    request* its;
    step_taken taken;
  };

  void arrived(step& its) {
    auto& record = static_cast<asioq::detail::request_record&>(*its.outer);
    request& asked = world_.find(record.buffer);
    queue_model& queue = world_.queue_of_last();
    const asio_op op = asked.op == asio_op::write_back ? asio_op::write : asked.op;
    const std::size_t length =
        its.op() == asio_op::allocate || asked.traits().transfers ? asked.length - asked.done : 0;
    if (its.op() != op || its.fd() != asked.fd || its.length() != length)
      found("a step that request %s does not ask for", queue_model::name(asked).c_str());
    const bool has_place = asked.traits().transfers || op == asio_op::truncate || op == asio_op::allocate;
    if (has_place && its.offset() != asked.offset_from(asked.done))
      found("a step of request %s at the wrong place", queue_model::name(asked).c_str());
    if (asked.traits().transfers && its.buffer().data() != asked.buffer + asked.first + asked.done)
      found("a step of request %s with the wrong bytes", queue_model::name(asked).c_str());
    try {
      world_.refuse_now_and_then();
    } catch (const refusal&) {
      if (asked.has_begun)
        queue.refuse_rest(asked, EAGAIN);
      else if (world_.is_blocking)
        asked.may_be_refused = true;
      throw;
    }
    request* const one = &asked;
    queue.begin(std::span(&one, 1));
    const bool is_open = !disk_.executor().describe(asked.fd).is_stream;
    step_taken taken{.its = world_.next_fate(asked, length, is_open), .outcome = 0, .seen = look(asked)};
    underway_.push_back({&its, &queue, &asked, taken});
    if (taken.its.refusal != 0) return answer(its, -taken.its.refusal);
    if (taken.its.limit < length) its.ask_for(taken.its.limit);
    pass(its);
  }

  void ended(const step& its, std::int64_t outcome) noexcept {
    ++the_report->steps;
    const auto place = std::ranges::find(underway_, static_cast<const void*>(&its), &underway::its_step);
    underway one = std::move(*place);
    underway_.erase(place);
    if (outcome == -ECANCELED) one.taken.its.refusal = ECANCELED;
    if (outcome == 0 && one.taken.seen != look(*one.its))
      found("the file has changed during request %s", queue_model::name(*one.its).c_str());
    one.taken.outcome = outcome;
    one.queue->end(*one.its, std::move(one.taken));
  }

  [[nodiscard]] std::string look(const request& its) const {
    const auto name = names.find(its.fd);
    if (!its.traits().is_sync || name == names.end() || name->second.empty()) return {};
    return text_of(disk_.contents(name->second));
  }

  world& world_;
  asioq::testing::simulated_disk& disk_;
  std::vector<underway> underway_;
};

/// The tasks that a program's queues have handed over.
class task_pool {
 public:
  explicit task_pool(world& its) : world_(its) {}

  void execute(std::size_t queue, asioq::task work) {
    was_refused_.resize(world_.queues.size());
    was_refused_[queue] = true;
    const manner how = world_.plan.how;
    const bool may_nest = depth_ < 6;
    const bool runs_others = may_nest && how == manner::any_inside;
    if (runs_others && !tasks_.empty() && one_in(world_.luck, 4)) run_inside(take().work);
    world_.refuse_now_and_then();
    was_refused_[queue] = false;
    if (may_nest && (how == manner::at_once || (how == manner::mixed && one_in(world_.luck, 2)))) {
      run_inside(work);
      return;
    }
    tasks_.push_back({queue, work});
    while (runs_others && !tasks_.empty() && one_in(world_.luck, 2)) run_inside(take().work);
  }

  [[nodiscard]] bool empty() const noexcept { return tasks_.empty(); }
  [[nodiscard]] bool has_task_of(std::size_t queue) const {
    return std::ranges::find(tasks_, queue, &given_task::queue) != tasks_.end();
  }
  /// Whether the last task that a queue has handed over was refused.
  [[nodiscard]] bool has_refused(std::size_t queue) const { return queue < was_refused_.size() && was_refused_[queue]; }
  [[nodiscard]] bool is_inside_execute() const noexcept { return inside_ != 0; }

  /// Runs one of them, as a thread of its own would.
  void run_one() {
    if (tasks_.empty()) return;
    const given_task next = take();
    ++depth_;
    next.work();
    --depth_;
  }

 private:
  struct given_task {
    std::size_t queue;
    asioq::task work;
  };

  given_task take() {
    const auto place = tasks_.begin() + static_cast<std::ptrdiff_t>(world_.luck.below(tasks_.size()));
    const given_task chosen = *place;
    tasks_.erase(place);
    return chosen;
  }

  void run_inside(asioq::task work) {
    ++inside_;
    ++depth_;
    work();
    --depth_;
    --inside_;
  }

  world& world_;
  std::vector<given_task> tasks_;
  std::vector<bool> was_refused_;  // for each queue: its last task
  int depth_ = 0;
  int inside_ = 0;
};

class task_executor {
 public:
  task_executor(task_pool& pool, std::size_t queue) noexcept : pool_(&pool), queue_(queue) {}
  void execute(asioq::task work) const { pool_->execute(queue_, work); }
  bool operator==(const task_executor&) const = default;

 private:
  task_pool* pool_;
  std::size_t queue_;
};

/// The files of a simulated disk as the kernel's. What goes on while a call is in the kernel is the program's to say.
class told_kernel final : public kernel {
 public:
  told_kernel(world& its, task_pool& pool) : world_(its), pool_(pool), files_(512, 1U << 30U) { the_kernel = this; }
  told_kernel(const told_kernel&) = delete;
  told_kernel& operator=(const told_kernel&) = delete;
  ~told_kernel() { the_kernel = nullptr; }

  asioq::testing::detail::disk_files& files() noexcept { return files_; }

  /// Called while a step is in the kernel.
  std::function<void()> goes_on = [] {};
  /// Called while a question is. A request may be in hand that has not begun, so none must be cancelled.
  std::function<void()> goes_on_during_question = [] {};

  std::int64_t transfer(asio_op op, int fd, std::span<const iovec> parts, std::uint64_t offset) override {
    const std::vector<request*> together = find(op, fd, parts, offset);
    queue_model& queue = world_.queue_of_last();
    const bool goes_on_later = begin(queue, together);
    const fate decided = world_.next_fate(*together.front(), parts.front().iov_len, files_.find(fd) != nullptr);
    std::vector<step_taken> taken;
    std::int64_t moved = -decided.refusal;
    if (decided.refusal == 0)
      taken = move(together, {op, fd, parts}, decided.limit, moved);
    else if (together.size() == 1)
      taken.push_back({decided, moved, {}});
    if (goes_on_later) goes_on();
    for (std::size_t i = 0; i < together.size(); ++i) {
      if (i < taken.size())
        queue.end(*together[i], std::move(taken[i]));
      else
        queue_model::end_without_effect(*together[i]);
    }
    return moved;
  }

  std::int64_t perform(asio_op op, int fd, std::size_t length, std::uint64_t offset) override {
    const std::size_t owner = world_.queue_of(fd);
    queue_model* const queue = owner == world::none ? nullptr : world_.queues[owner];
    request* const its = queue == nullptr ? nullptr : queue->find(op, fd, length, offset);
    if (its == nullptr) found("a call (%s of %d) that no request asks for", asioq::traits_of(op).name, fd);
    const std::string before = its->traits().is_sync ? look(fd) : "";
    const bool goes_on_later = begin(*queue, {its});
    step_taken taken{.its = world_.next_fate(*its, 0, files_.find(fd) != nullptr), .outcome = 0, .seen = before};
    if (op == asio_op::close)
      taken.outcome = files_.close(fd) ? -taken.its.refusal : -EBADF;
    else if (taken.its.refusal != 0)
      taken.outcome = -taken.its.refusal;
    else
      taken.outcome = carry_out(op, fd, nullptr, length, offset);
    if (taken.outcome == 0 && its->traits().is_sync && before != look(fd))
      found("the file has changed during request %s", queue_model::name(*its).c_str());
    if (goes_on_later) goes_on();
    const std::int64_t outcome = taken.outcome;
    queue->end(*its, std::move(taken));
    return outcome;
  }

  std::optional<asioq::file_facts> describe(int fd) override {
    if (const std::size_t queue = world_.queue_of(fd);
        queue != world::none && queue == world_.queue_in_call && !pool_.is_inside_execute())
      found("the kernel is asked about descriptor %d in a call that must not", fd);
    if (files_.find(fd) == nullptr) return std::nullopt;
    const asioq::file_facts facts = files_.describe(fd);
    // Under hold the models would know of a failure before the queue does, which asks about the file of a failed sync.
    const std::size_t queue = world_.queue_of(fd);
    if (queue != world::none && world_.plan.queues[queue].on_failure == asioq::failure_policy::proceed)
      goes_on_during_question();
    return facts;
  }

  [[nodiscard]] bool has_disk() const override { return world_.plan.files_merge; }

 private:
  struct call : asioq::io_operation {
    using io_operation::describe;
  };

  struct transfer_call {
    asio_op op;
    int fd;
    std::span<const iovec> parts;
  };

  /// The requests that a call is for, after a look at whether they ask for this.
  std::vector<request*> find(asio_op op, int fd, std::span<const iovec> parts, std::uint64_t place) {
    std::vector<request*> together;
    const queue_model* queue = nullptr;
    for (const iovec& part : parts) {
      request& its = world_.find(static_cast<const std::byte*>(part.iov_base));
      if (queue != nullptr && queue != &world_.queue_of_last()) found("a call for requests of two queues");
      queue = &world_.queue_of_last();
      if (!its.traits().transfers || its.traits().writes != (op == asio_op::write) || its.fd != fd ||
          part.iov_len != its.length - its.done || part.iov_base != its.buffer + its.first + its.done ||
          place != its.offset_from(its.done))
        found("a call that request %s does not ask for", queue_model::name(its).c_str());
      if (place != asioq::current_position) place += part.iov_len;
      together.push_back(&its);
    }
    return together;
  }

  /// Returns whether the world goes on when the call has had its effect and has not returned, rather than before.
  [[nodiscard]] bool begin(queue_model& queue, const std::vector<request*>& together) {
    ++the_report->steps;
    if (world_.queue_in_call != world::none && world_.queues[world_.queue_in_call] == &queue &&
        !pool_.is_inside_execute())
      found("request %s is carried out in a call that must not", queue_model::name(*together.front()).c_str());
    queue.begin(together);
    if (one_in(world_.luck, 2)) return true;
    goes_on();
    return false;
  }

  /// Moves at most `left` bytes, for one request after the other. Returns what came of the first of them: those that it
  /// was for, or has reached. `moved` is what the call returns.
  std::vector<step_taken> move(const std::vector<request*>& together, const transfer_call& its, std::size_t left,
                               std::int64_t& moved) {
    std::vector<step_taken> taken;
    moved = 0;
    for (std::size_t i = 0; i < together.size(); ++i) {
      const std::size_t wanted = its.parts[i].iov_len;
      const std::size_t limit = std::min(left, wanted);
      if (limit == 0 && wanted != 0) break;
      const request& one = *together[i];
      const std::int64_t outcome = carry_out(its.op, its.fd, its.parts[i].iov_base, limit, one.offset_from(one.done));
      if (outcome > 0 || together.size() == 1) taken.push_back({{0, limit}, outcome, {}});
      if (outcome > 0 || moved == 0) moved += outcome;
      if (outcome != static_cast<std::int64_t>(wanted)) break;
      left -= wanted;
    }
    return taken;
  }

  std::int64_t carry_out(asio_op op, int fd, void* data, std::size_t length, std::uint64_t offset) {
    const auto where = files_.find(fd);
    if (where == nullptr) return -EBADF;
    if (asioq::traits_of(op).is_sync) return 0;
    call its;
    its.describe(op, fd, static_cast<std::byte*>(data), length, offset);
    return files_.carry_out(its, *where, length);
  }

  [[nodiscard]] std::string look(int fd) const {
    const auto where = files_.find(fd);
    return where == nullptr || where->file->name == "shared" ? "" : text_of(where->file->image.contents());
  }

  world& world_;
  task_pool& pool_;
  asioq::testing::detail::disk_files files_;
};

}  // namespace asioq_simulation
