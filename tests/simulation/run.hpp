// Carries out a program on real queues, beside the models that know what must come of it.
#pragma once

#include <asioq/completion.hpp>
#include <asioq/error.hpp>
#include <asioq/options.hpp>
#include <asioq/queue.hpp>
#include <asioq/request.hpp>
#include <asioq/testing/simulated_disk.hpp>

#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "coroutines.hpp"
#include "counting_allocator.hpp"
#include "engines.hpp"
#include "finding.hpp"
#include "model.hpp"
#include "own_step.hpp"
#include "program.hpp"
#include "random_program.hpp"

namespace asioq_simulation {

/// Runs one program. Whatever is wrong ends the process: see `found`.
class run {
  using allocator = asioq_test::counting_allocator<std::byte>;
  using queue_type = asioq::basic_asio_queue<std::variant<told_disk::executor_type, task_executor>, allocator>;

 public:
  explicit run(const program& its)
      : plan_(its),
        world_(its),
        disk_({.seed = its.seed,
               .short_transfers = 0,
               .interruptions = 0,
               .latency = {.depth = 1 + static_cast<std::size_t>(its.seed % 7)},
               .keeps_log = false}),
        told_disk_(world_, disk_),
        tasks_(world_) {
    if (plan_.on == engine::tasks) {
      kernel_.emplace(world_, tasks_);
      kernel_->goes_on = [this] { go_on(); };
      kernel_->goes_on_during_question = [this] {
        ++questions_;
        go_on();
        --questions_;
      };
    }
    make_files();
    for (std::size_t i = 0; i < plan_.queues.size(); ++i) {
      lives_.push_back(std::make_unique<life>(*this, i));
      world_.queues.push_back(nullptr);
    }
    for (std::size_t i = 0; i < plan_.queues.size(); ++i) make_queue(i);
  }

  run(const run&) = delete;
  run& operator=(const run&) = delete;

  void go() {
    while (next_ < plan_.steps.size()) {
      const step& its = plan_.steps[next_++];
      world_.luck = generator(its.luck);
      take(its);
      if (plan_.on == engine::tasks && plan_.how != manner::starves)
        while (!tasks_.empty() && one_in(world_.luck, 3)) tasks_.run_one();
      for (std::size_t i = 0; i < lives_.size(); ++i) check_books(i);
    }
    world_.luck = generator(plan_.seed);
    if (is_told()) note("  the end");
    for (std::size_t i = 0; i < lives_.size(); ++i) destroy_queue(i);
    for (auto& one : lives_) one->kept.clear();
    while (!tasks_.empty()) tasks_.run_one();
    check_files();
    if (memory_.live != 0) found("%ld pieces of memory have not been freed", memory_.live.load());
  }

 private:
  enum manner_of_call { quick, blocks };

  /// A queue, its model, and what its owner has of it.
  struct life final : asioq::completion {
    life(run& its, std::size_t its_number) : home(its), number(its_number) {}
    void finished(asioq::asio_request request) noexcept override { home.receive(number, std::move(request)); }

    run& home;
    std::size_t number;
    std::vector<int> fds;  // by target
    std::unique_ptr<queue_model> model;
    std::unique_ptr<queue_type> owned;
    queue_type* queue = nullptr;  // also while that is being destroyed
    std::vector<asioq::asio_request> kept;
    std::map<std::uint64_t, asioq_test::owned_task> coroutines;  // by the number of their request
    int handle = -1;
    bool is_in_call = false;
    bool may_deliver = false;
    bool is_receiving = false;
    bool is_closing = false;
    std::size_t received = 0;
    std::optional<std::uint64_t> polled;  // by a call of poll(): what had finished when it began to deliver
    bool is_polling = false;
    std::uint64_t settled = 0;  // taken in by the queue, at least
  };

  /// While it lives, the owner is in a call of a queue.
  class owner_call {
   public:
    owner_call(run& its, life& where, manner_of_call how, bool delivers)
        : run_(its),
          life_(where),
          was_in_call_(std::exchange(where.is_in_call, true)),
          delivered_before_(std::exchange(where.may_deliver, delivers)),
          blocking_before_(std::exchange(its.world_.is_blocking, how == blocks)),
          quick_before_(std::exchange(its.world_.queue_in_call, how == blocks ? world::none : where.number)),
          finished_before_(where.queue->completed_through()),
          refusals_before_(its.world_.refusals) {
      life_.model->finished(finished_before_);
      leading_before_ = its.plan_.on == engine::disk ? life_.model->leading() : life_.model->surely_over();
    }
    owner_call(const owner_call&) = delete;
    owner_call& operator=(const owner_call&) = delete;
    ~owner_call() {
      life_.is_in_call = was_in_call_;
      life_.may_deliver = delivered_before_;
      run_.world_.is_blocking = blocking_before_;
      run_.world_.queue_in_call = quick_before_;
      run_.take_in(life_);
    }

    [[nodiscard]] std::uint64_t finished_before() const noexcept { return finished_before_; }

    /// The call takes in what has finished, and begins what may begin.
    void has_polled() const {
      has_harvested();
      if (run_.world_.refusals != refusals_before_) return;
      if (run_.plan_.on == engine::tasks) return run_.check_that_it_goes_on(life_);
      if (life_.model->finished() < leading_before_)
        found("completed_through() is %llu, and %llu have ended",
              static_cast<unsigned long long>(life_.model->finished()),
              static_cast<unsigned long long>(leading_before_));
      life_.model->check_that_it_goes_on();
    }
    /// The call takes in what has finished.
    void has_harvested() const {
      run_.take_in(life_);
      life_.settled = std::max(life_.settled, finished_before_);
    }
    /// It has delivered what had finished before.
    void has_delivered() const {
      const request* const next = life_.model->next(true);
      if (next != nullptr && next->sequence < finished_before_ && !next->is_abandoned)
        found("request %s was not delivered", queue_model::name(*next).c_str());
    }

   private:
    run& run_;
    life& life_;
    bool was_in_call_;
    bool delivered_before_;
    bool blocking_before_;
    std::size_t quick_before_;
    std::uint64_t finished_before_;
    std::size_t refusals_before_;
    std::uint64_t leading_before_ = 0;
  };

  // Files.

  void make_files() {
    const std::size_t queues = plan_.queues.size();
    files_.contents.emplace_back();  // shared_file
    names_.emplace_back("shared");
    for (std::size_t i = 0; i < queues; ++i)
      for (const char* const name : {"file of ", "other file of "}) {
        names_.push_back(name + std::to_string(i));
        files_.contents.emplace_back();
      }
    fill(0, queues * part_of_shared);
    for (std::size_t i = 1; i < names_.size(); ++i) fill(i, plan_.sizes[i % 2]);
  }

  void fill(std::size_t file, std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('A' + (i * 7 + file) % 26);
    const int fd = open(names_[file], false);
    if (plan_.on == engine::disk)
      static_cast<void>(
          asioq_test::carry_out(disk_.executor(), asio_op::write, fd, std::string_view(text), std::uint64_t{0}));
    else
      kernel_->files().find(fd)->file->image.write(0, std::as_bytes(std::span(text)));
    close(fd);
    files_.contents[file] = std::move(text);
  }

  int open(const std::string& name, bool appends) {
    return plan_.on == engine::disk ? disk_.open(name, {.appends = appends})
                                    : kernel_->files().open(name, appends, true);
  }
  void close(int fd) {
    if (plan_.on == engine::disk)
      disk_.close(fd);
    else
      kernel_->files().close(fd);
  }

  static std::size_t file_of(std::size_t queue, target where) {
    if (where == shared) return shared_file;
    return 1 + 2 * queue + (where == other ? 1 : 0);
  }

  /// Opens a file, if that gets the wanted number, or any if it is negative.
  void open_for(life& its, target where, std::size_t file, bool appends, int wanted) {
    const int fd = open(names_[file], appends);
    if (wanted >= 0 && fd != wanted) return close(fd);
    its.fds[where] = fd;
    world_.owners[fd] = its.number;
    files_.descriptors[fd] = {.file = file, .appends = appends};
    told_disk_.names[fd] = file == shared_file ? "" : names_[file];
    its.model->open(fd, file);
  }

  void check_files() {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      const std::string content = plan_.on == engine::disk
                                      ? text_of(disk_.contents(names_[i]))
                                      : text_of(kernel_->files().named(names_[i])->image.contents());
      if (content != files_.contents[i])
        found("\"%s\" ends with other contents than in a serial run", names_[i].c_str());
    }
    for (const auto& [fd, its] : files_.descriptors) {
      bool was_open = false;
      if (plan_.on == engine::disk) {
        try {
          disk_.close(fd);
          was_open = true;
        } catch (const std::system_error&) {
        }
      } else {
        const auto where = kernel_->files().find(fd);
        if (where != nullptr && where->position != its.position) found("descriptor %d ends at another position", fd);
        was_open = kernel_->files().close(fd);
      }
      if (was_open != its.is_open) found("descriptor %d is %s", fd, was_open ? "left open" : "closed");
    }
  }

  // Queues.

  void make_queue(std::size_t number) {
    life& its = *lives_[number];
    const queue_plan& plan = plan_.queues[number];
    its.model = std::make_unique<queue_model>(number, plan, plan_.on, files_);
    world_.queues[number] = its.model.get();
    asioq::queue_options options{.buffer_size = buffer_size,
                                 .max_writebacks = plan.max_writebacks,
                                 .order = plan.order,
                                 .max_in_flight = plan.max_in_flight,
                                 .on_failure = plan.on_failure,
                                 .on_lost_failure = [this, &its](asioq::asio_request& lost) { lose(its, lost); },
                                 .max_requests = plan.max_requests};
    if (plan_.on == engine::disk)
      its.owned = std::make_unique<queue_type>(told_disk_.executor(), std::move(options), allocator(memory_));
    else
      its.owned = std::make_unique<queue_type>(task_executor(tasks_, number), std::move(options), allocator(memory_));
    its.queue = its.owned.get();
    its.settled = 0;
    its.is_closing = false;
    if (its.fds.empty()) {
      its.fds.assign(targets, 1'999'000 + static_cast<int>(number));  // that of `never_open`
      world_.owners[its.fds[never_open]] = number;
      for (const target one : {plain, again, appending, other, shared})
        open_for(its, one, file_of(number, one), one == appending, -1);
    } else {
      for (const target one : {plain, again, appending, other, shared})
        if (const auto& its_file = files_.descriptors[its.fds[one]]; its_file.is_open)
          its.model->open(its.fds[one], its_file.file);
    }
    its.handle = plan.has_handle ? its.queue->native_handle() : -1;
  }

  void destroy_queue(std::size_t number) {
    life& its = *lives_[number];
    its.is_closing = true;
    its.is_in_call = its.may_deliver = true;
    world_.is_blocking = true;
    its.owned.reset();
    its.queue = nullptr;
    world_.is_blocking = false;
    its.is_in_call = its.may_deliver = false;
    its.model->finished(its.model->requests().size());
    its.model->check_end();
    its.coroutines.clear();
    the_report->requests += its.model->requests().size();
    world_.queues[number] = nullptr;
  }

  void take_in(life& its) {
    if (its.queue != nullptr) its.model->finished(its.queue->completed_through());
  }

  void lose(life& its, const asioq::asio_request& lost) {
    take_in(its);
    its.model->lost(lost);
  }

  void check_counts(const life& its) {
    const queue_type& queue = *its.queue;
    const queue_model& model = *its.model;
    if (queue.running_requests() != model.requests().size() - model.finished())
      found("running_requests() is %zu of %zu", queue.running_requests(), model.requests().size());
    if (queue.running_writebacks() != model.unfinished_write_backs())
      found("running_writebacks() is %zu instead of %zu", queue.running_writebacks(), model.unfinished_write_backs());
    if (queue.running_writebacks() > plan_.queues[its.number].max_writebacks) found("too many write-backs");
  }

  void check_books(std::size_t number) {
    life& its = *lives_[number];
    take_in(its);
    check_counts(its);
    const queue_type& queue = *its.queue;
    const queue_model& model = *its.model;
    if (model.finished() < model.surely_over()) found("what has ended has not finished");
    const std::size_t most = its.kept.size() + model.with_queue(its.settled) + model.abandoned();
    const std::size_t least = its.kept.size() + model.with_queue(model.finished());
    if (const std::size_t allocated = queue.allocated_requests(); allocated < least || allocated > most)
      found("allocated_requests() is %zu instead of %zu to %zu", allocated, least, most);
    const std::size_t limit = plan_.queues[number].max_requests;
    if (limit != 0 && queue.allocated_requests() + queue.idle_requests() > limit) found("more than max_requests");
    if (its.handle >= 0) check_descriptor(its);
    if (plan_.on == engine::tasks && !tasks_.has_refused(number)) check_that_it_goes_on(its);
  }

  /// What is unfinished is not left to the owner.
  void check_that_it_goes_on(const life& its) {
    if (depth_ == 0 && its.queue->running_requests() != 0 && !tasks_.has_task_of(its.number))
      found("requests are unfinished, and no task is to carry them out");
  }

  /// The descriptor is readable while there is something to find, and else only if the owner has to look all the same.
  void check_descriptor(const life& its) {
    pollfd event{its.handle, POLLIN, 0};
    const bool is_readable = ::poll(&event, 1, 0) == 1;
    const request* const delivered = its.model->next(true);
    const bool has_something = its.model->next(false) != nullptr || (delivered != nullptr && !delivered->is_abandoned);
    if (has_something && !is_readable) found("the descriptor is not readable, and there is something to find");
    const bool may_be = has_something || plan_.refuses != 0 || its.model->abandoned() != 0 ||
                        (plan_.on == engine::disk && (lives_.size() > 1 || !told_disk_.is_idle()));
    if (is_readable && !may_be) found("the descriptor is readable, and there is nothing to find");
  }

  // Steps.

  /// While a call is in the kernel, other threads go on, and the owner if it is in no call.
  void go_on() {
    if (!plan_.nests || depth_ >= 3) return;
    ++depth_;
    while (one_in(world_.luck, 2)) {
      if (one_in(world_.luck, 2)) {
        tasks_.run_one();
      } else if (next_ < plan_.steps.size() && may_be_nested(plan_.steps[next_]) &&
                 (questions_ == 0 || plan_.steps[next_].what == step::kind::submit)) {
        const step& its = plan_.steps[next_++];
        const generator before = world_.luck;
        world_.luck = generator(its.luck);
        take(its);
        world_.luck = before;
      }
    }
    --depth_;
  }

  [[nodiscard]] bool may_be_nested(const step& its) const {
    using kind = step::kind;
    if (lives_[its.queue]->is_in_call) return false;
    switch (its.what) {
      case kind::submit:
        return its.op != asio_op::write_back ||
               lives_[its.queue]->queue->running_writebacks() < plan_.queues[its.queue].max_writebacks;
      case kind::drop:
      case kind::try_wait:
      case kind::poll:
      case kind::resume:
      case kind::cancel:
      case kind::stop:
      case kind::abandon:
      case kind::shrink:
      case kind::tasks:
        return true;
      default:
        return false;
    }
  }

  void take(const step& its) {
    using kind = step::kind;
    if (is_told()) note("  %s", text_of(its).c_str());
    life& where = *lives_[its.queue];
    switch (its.what) {
      case kind::submit:
        return submit_fresh(where, its);
      case kind::submit_again:
        return submit_again(where, its);
      case kind::drop:
        if (!where.kept.empty()) where.kept.erase(where.kept.begin());
        return;
      case kind::wait:
        return wait(where);
      case kind::try_wait:
        return collect(where, quick, [](queue_type& queue) { return queue.try_wait(); });
      case kind::wait_for:
        return collect(where, plan_.on == engine::disk ? blocks : quick, [&](queue_type& queue) {
          // On the disk a deadline that may or may not come would make the run depend on the machine.
          if (its.luck % 2 == 0) return queue.wait_until(std::chrono::steady_clock::time_point());
          return queue.wait_for(plan_.on == engine::disk ? std::chrono::hours(1)
                                                         : std::chrono::milliseconds(its.luck % 5));
        });
      case kind::wait_or_stop:
        return wait_or_stop(where, its);
      case kind::poll:
        return poll(where);
      case kind::run_one:
        return run_one(where);
      case kind::sync:
        return sync(where);
      case kind::resume:
        return resume(where);
      case kind::cancel:
        return cancel(where);
      case kind::stop:
        return stop(where, its);
      case kind::abandon:
        return abandon(where);
      case kind::shrink: {
        const owner_call call(*this, where, quick, false);
        where.queue->shrink_to_fit();
        call.has_harvested();
        if (where.queue->idle_requests() != 0 && depth_ == 0) found("shrink_to_fit() leaves idle requests");
        return;
      }
      case kind::reopen:
        return reopen(where, its);
      case kind::tasks:
        for (std::uint64_t left = 1 + its.luck % 3; left > 0; --left) tasks_.run_one();
        return;
      case kind::renew:
        destroy_queue(its.queue);
        where.kept.clear();
        make_queue(its.queue);
        return;
      case kind::kinds:
        return;
    }
  }

  asioq::asio_request get(life& where) {
    const std::size_t limit = plan_.queues[where.number].max_requests;
    const owner_call call(*this, where, quick, false);
    asioq::asio_request request;
    if (one_in(world_.luck, 16)) {
      const long before = memory_.live;
      memory_.budget = static_cast<long>(world_.luck.below(2));
      try {
        request = where.queue->try_get();
      } catch (const std::bad_alloc&) {
        if (where.queue->idle_requests() != 0) found("get() has no memory, and there is an idle request");
        if (memory_.live != before) found("get() has no memory, and has kept some");
      }
      memory_.budget = std::numeric_limits<long>::max();
    }
    if (!request) request = where.queue->try_get();
    if (!request && (limit == 0 || where.queue->allocated_requests() < limit)) found("try_get() is empty");
    if (!request) {
      try {
        static_cast<void>(where.queue->get());
        if (depth_ == 0) found("get() gives more than max_requests");
      } catch (const std::system_error& error) {
        if (error.code() != std::errc::not_enough_memory) found("get() throws something else");
      }
      return request;
    }
    if (request.op() != asio_op::free || request.fd() != -1 || request.user_data() != nullptr || request.error() ||
        request.bytes_transferred() != 0 || request.length() != 0 || request.buffer().size() != buffer_size)
      found("get() gives a request that is not fresh");
    return request;
  }

  void submit_fresh(life& where, const step& its) {
    asioq::asio_request request = get(where);
    if (!request) return;
    prepare(where, request, its);
    submit(where, std::move(request), its.comes_back, its.luck);
  }

  /// As it is, or prepared for something else.
  void submit_again(life& where, const step& its) {
    if (where.kept.empty()) return;
    asioq::asio_request request = std::move(where.kept.back());
    where.kept.pop_back();
    if (its.luck % 2 == 0 || request.op() == asio_op::free) prepare(where, request, its);
    submit(where, std::move(request), its.comes_back, its.luck);
  }

  void prepare(const life& where, asioq::asio_request& request, const step& its) {
    const int fd = where.fds[its.where];
    generator letters(its.luck);
    for (std::byte& one : request.buffer()) one = static_cast<std::byte>('a' + letters.below(26));
    std::uint64_t offset = its.offset;
    if (its.where == shared) offset = where.number * part_of_shared + offset % (part_of_shared - its.length);
    switch (its.op) {
      case asio_op::read:
        request.prepare_read(fd, its.length, offset);
        break;
      case asio_op::write:
        request.prepare_write(fd, its.length, offset);
        break;
      case asio_op::write_back:
        request.prepare_write_back(fd, its.length, offset);
        break;
      case asio_op::fsync:
        request.prepare_fsync(fd);
        break;
      case asio_op::fdatasync:
        request.prepare_fdatasync(fd);
        break;
      case asio_op::truncate:
        request.prepare_truncate(fd, offset);
        break;
      case asio_op::allocate:
        request.prepare_allocate(fd, its.length, offset);
        break;
      default:
        request.prepare_close(fd);
        break;
    }
    const std::size_t first = asioq::traits_of(its.op).transfers ? its.first : 0;
    if (first != 0) request.use_from(first);
    if (request.data().data() != request.buffer().data() + first || request.bytes_transferred() != 0 || request.error())
      found("a request that is prepared says that it is not");
  }

  void submit(life& where, asioq::asio_request request, lane comes_back, std::uint64_t luck) {
    queue_type& queue = *where.queue;
    asioq_simulation::request made;
    made.op = request.op();
    made.fd = request.fd();
    made.offset = request.offset();
    made.length = request.length();
    made.buffer = request.buffer().data();
    made.first = static_cast<std::size_t>(request.data().data() - request.buffer().data());
    made.content = text_of(request.buffer());
    made.luck = luck;
    made.comes_back = comes_back;
    if (comes_back == lane::awaited) made.stop = std::stop_source();
    const bool may_block = made.op == asio_op::write_back;
    take_in(where);
    asioq_simulation::request& its = where.model->add(std::move(made));
    if (comes_back == lane::awaited && luck % 16 == 3) {
      its.stop.request_stop();
      queue_model::stop(its);
    }
    request.set_user_data(&its);
    const std::error_code error_before = request.error();
    const std::size_t bytes_before = request.bytes_transferred();
    const std::uint64_t sequence_before = request.sequence();
    bool is_taken = false;
    {
      const owner_call call(*this, where, may_block ? blocks : quick, false);
      const bool must_throw =
          its.is_own_write_back() && where.model->failed_write_back(call.finished_before()) != nullptr;
      try {
        switch (comes_back) {
          case lane::collected:
            queue.submit(std::move(request));
            break;
          case lane::received:
            queue.submit(std::move(request), where);
            break;
          case lane::awaited: {
            std::exception_ptr thrown;
            auto coroutine = errand(where, request, its.stop.get_token(), thrown);
            if (thrown) std::rethrow_exception(thrown);
            where.coroutines.insert_or_assign(its.sequence, std::move(coroutine));
            break;
          }
        }
        is_taken = true;
        if (where.is_closing) found("a queue that is being destroyed takes a request");
        if (must_throw) found("submit of a write-back does not throw after a failed one");
      } catch (const asioq::write_back_error& error) {
        take_in(where);
        if (!its.is_own_write_back()) found("a write_back_error for what is no write-back");
        where.model->check(error, where.model->failed_write_back(where.model->finished()));
        where.model->reported(call.finished_before(), where.model->finished());
      } catch (const refusal&) {
      } catch (const std::system_error& error) {
        if (!where.is_closing || error.code() != std::errc::operation_not_permitted)
          found("submit throws %s", error.what());
      }
    }
    if (is_taken) {
      if (request) found("submit leaves something in the handle");  // NOLINT(bugprone-use-after-move): is it empty?
      return;
    }
    if (!request || request.user_data() != &its || request.op() != its.op || request.fd() != its.fd ||
        request.length() != its.length || request.offset() != its.offset || request.error() != error_before ||
        request.bytes_transferred() != bytes_before || request.sequence() != sequence_before ||
        text_of(request.buffer()) != its.content)
      found("submit throws and changes the request");
    where.model->take_back(its);
    request.set_user_data(nullptr);
    if (luck % 2 == 0) where.kept.push_back(std::move(request));
  }

  asioq_test::owned_task errand(life& where, asioq::asio_request& request, std::stop_token stop,
                                std::exception_ptr& thrown) {
    asioq::asio_request done;
    try {
      done = co_await where.queue->async_submit(std::move(request), std::move(stop));
    } catch (...) {
      thrown = std::current_exception();
      co_return;
    }
    receive(where.number, std::move(done));
  }

  /// A request finds its receiver.
  void receive(std::size_t number, asioq::asio_request done) {
    life& where = *lives_[number];
    if (!where.may_deliver) found("a delivery in a call that must not deliver");
    if (std::exchange(where.is_receiving, true)) found("a delivery inside of a delivery");
    take_in(where);
    check_counts(where);
    if (where.is_polling && !where.polled) where.polled = where.model->finished();
    if (where.is_polling && done.sequence() >= *where.polled) found("poll() delivers what has finished meanwhile");
    where.model->came_back(done, true);
    ++where.received;
    const std::uint64_t luck = static_cast<const request*>(done.user_data())->luck;
    generator random(luck + 1);
    const std::size_t quick_before = std::exchange(world_.queue_in_call, world::none);
    if (one_in(random, 3)) do_from_receiver(where, done, random);
    world_.queue_in_call = quick_before;
    if (done && one_in(random, 2)) where.kept.push_back(std::move(done));
    where.is_receiving = false;
  }

  void do_from_receiver(life& where, asioq::asio_request& done, generator& random) {
    const std::uint64_t luck = random();
    switch (random.below(6)) {
      case 0:
        try {
          static_cast<void>(luck % 2 == 0 ? where.queue->poll() : where.queue->run_one());
          found("a receiver's call that delivers does not throw");
        } catch (const std::system_error& error) {
          if (error.code() != std::errc::resource_deadlock_would_occur) found("it throws %s", error.what());
        }
        return;
      case 1:
        return cancel(where);
      case 2:
        if (depth_ == 0) sync(where);
        return;
      case 3:
        return resume(where);
      default:
        if (done.op() == asio_op::write_back && depth_ != 0) return;
        submit(where, std::move(done), luck % 4 == 0 ? lane::collected : lane::received, luck);
    }
  }

  // The calls of the owner.

  /// `give` may return a handle.
  template <class Give>
  void collect(life& where, manner_of_call how, Give give) {
    asioq::asio_request done;
    try {
      const owner_call call(*this, where, how, true);
      done = give(*where.queue);
      call.has_polled();
      call.has_delivered();
    } catch (const refusal&) {
      return;
    }
    const request* const expected = where.model->next(false);
    if (done) return keep_or_drop(where, std::move(done));
    if (expected != nullptr && expected->sequence < where.settled)
      found("request %s was not collected", queue_model::name(*expected).c_str());
  }

  void keep_or_drop(life& where, asioq::asio_request done) {
    where.model->came_back(done, false);
    if (static_cast<const request*>(done.user_data())->luck % 2 == 0) where.kept.push_back(std::move(done));
  }

  void wait(life& where) {
    asioq::asio_request done;
    {
      const owner_call call(*this, where, blocks, true);
      done = where.queue->wait();
      call.has_harvested();
      call.has_delivered();
      if (!done && (where.queue->running_requests() != 0 || where.model->next(false) != nullptr))
        found("wait() is empty, and there is something to come");
    }
    if (done) keep_or_drop(where, std::move(done));
  }

  void wait_or_stop(life& where, const step& its) {
    std::stop_source stop;
    // On tasks it never carries out anything, and there is no other thread.
    if (plan_.on == engine::tasks || its.luck % 2 == 0) stop.request_stop();
    collect(where, plan_.on == engine::disk ? blocks : quick,
            [&](queue_type& queue) { return queue.wait(stop.get_token()); });
  }

  void poll(life& where) {
    const std::size_t before = where.received;
    const std::size_t abandoned = where.model->abandoned();
    try {
      const owner_call call(*this, where, quick, true);
      where.polled.reset();
      where.is_polling = true;
      const std::size_t delivered = where.queue->poll();
      where.is_polling = false;
      call.has_polled();
      call.has_delivered();
      const std::size_t received = where.received - before;
      if (delivered < received || delivered > received + abandoned)
        found("poll() returns %zu and has delivered %zu", delivered, received);
    } catch (const refusal&) {
      where.is_polling = false;
    }
  }

  void run_one(life& where) {
    const std::size_t before = where.received;
    const std::size_t abandoned = where.model->abandoned();
    const owner_call call(*this, where, blocks, true);
    const std::size_t delivered = where.queue->run_one();
    call.has_harvested();
    const std::size_t received = where.received - before;
    if (delivered > 1 || received > delivered || (received < delivered && abandoned == 0))
      found("run_one() returns %zu and has delivered %zu", delivered, received);
    if (delivered == 0 && where.model->next(true) != nullptr && !where.model->next(true)->is_abandoned)
      found("run_one() has not delivered");
  }

  void sync(life& where) {
    const owner_call call(*this, where, blocks, false);
    bool has_thrown = false;
    try {
      where.queue->sync();
    } catch (const asioq::write_back_error& error) {
      has_thrown = true;
      take_in(where);
      where.model->check(error, where.model->failed_write_back(where.model->finished()));
      where.model->reported(where.model->finished(), where.model->finished());
    }
    call.has_harvested();
    if (where.queue->running_requests() != 0) found("sync() leaves something running");
    if (!has_thrown && where.model->failed_write_back(where.model->finished()) != nullptr)
      found("sync() does not throw after a failed write-back");
  }

  void resume(life& where) {
    const owner_call call(*this, where, quick, false);
    where.queue->resume();
    where.model->resume(where.queue->completed_through());
    call.has_harvested();
  }

  void cancel(life& where) {
    const owner_call call(*this, where, quick, false);
    take_in(where);
    where.model->cancel();
    where.queue->cancel();
    take_in(where);
    if (depth_ == 0 && where.model->finished() < where.model->leading())
      found("cancel() leaves %zu requests, and nothing before them has to end", where.queue->running_requests());
  }

  void stop(life& where, const step& its) {
    std::vector<request*> waiting;
    for (request& one : where.model->all())
      if (one.comes_back == lane::awaited && !one.has_returned && !one.is_abandoned && one.stop.stop_possible())
        waiting.push_back(&one);
    if (waiting.empty()) return;
    request& chosen = *waiting[static_cast<std::size_t>(its.luck % waiting.size())];
    take_in(where);
    if (chosen.sequence >= where.model->finished()) queue_model::stop(chosen);
    chosen.stop.request_stop();
  }

  /// A coroutine that waits is destroyed.
  void abandon(life& where) {
    for (auto one = where.coroutines.begin(); one != where.coroutines.end(); ++one) {
      request& its = where.model->all()[one->first];
      if (its.has_returned) continue;
      its.is_abandoned = true;
      where.coroutines.erase(one);
      return;
    }
  }

  void reopen(life& where, const step& its) {
    take_in(where);
    for (std::uint64_t i = 0; i < shared; ++i) {
      const auto which = static_cast<target>((its.luck + i) % shared);
      const int fd = where.fds[which];
      const bool is_used = std::ranges::any_of(where.model->requests(), [&](const request& one) {
        return one.fd == fd && one.sequence >= where.model->finished();
      });
      if (files_.descriptors[fd].is_open || is_used) continue;
      // It may now be another file, and append.
      open_for(where, which, file_of(where.number, its.luck / 8 % 2 == 0 ? plain : other), its.luck / 16 % 4 == 0, fd);
      return;
    }
  }

  const program& plan_;
  world world_;
  asioq::testing::simulated_disk disk_;
  told_disk told_disk_;
  task_pool tasks_;
  std::optional<told_kernel> kernel_;
  asioq_test::memory_log memory_;
  modelled_files files_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<life>> lives_;
  std::size_t next_ = 0;  // step
  int depth_ = 0;         // of steps inside of steps
  int questions_ = 0;     // in which the world goes on
};

}  // namespace asioq_simulation
