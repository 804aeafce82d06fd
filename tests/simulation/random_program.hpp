// Makes random programs, prints them, and makes smaller ones of one that goes wrong.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/operation.hpp>
#include <asioq/options.hpp>
#include <asioq/testing/detail/generator.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "program.hpp"

namespace asioq_simulation {

using asioq::testing::detail::generator;

template <class T, std::size_t Count>
T any_of(generator& random, const T (&values)[Count]) {
  return values[random.below(Count)];
}

inline queue_plan random_queue(generator& random) {
  queue_plan made;
  made.order = any_of(random, {asioq::execution_order::strict, asioq::execution_order::as_if_serial});
  made.on_failure = any_of(random, {asioq::failure_policy::proceed, asioq::failure_policy::hold});
  made.max_in_flight = any_of<std::size_t>(random, {1, 2, 3, 4, 8, 32});
  made.max_writebacks = 1 + random.below(4);
  made.max_requests = random.below(4) == 0 ? 2 + random.below(8) : 0;
  made.has_handle = random.below(8) == 0;
  return made;
}

inline step::kind random_kind(generator& random, bool is_burst) {
  using kind = step::kind;
  constexpr kind seldom[] = {kind::resume, kind::cancel,  kind::stop,         kind::abandon, kind::shrink,
                             kind::reopen, kind::reopen,  kind::wait_or_stop, kind::renew,   kind::resume,
                             kind::resume, kind::run_one, kind::sync,         kind::stop,    kind::wait_for};
  constexpr kind often[] = {kind::wait, kind::try_wait, kind::poll,  kind::poll,  kind::submit_again,
                            kind::drop, kind::tasks,    kind::tasks, kind::reopen};
  const std::uint64_t which = random.below(is_burst ? 240 : 32);
  if (which < 3) return any_of(random, seldom);
  return which < 12 ? any_of(random, often) : kind::submit;
}

/// Makes of a transfer, now and then, something that concerns the whole file.
inline void widen(step& its, generator& random) {
  using asioq::asio_op;
  switch (random.below(7)) {
    case 0:
    case 1:
      its.op = any_of(random, {asio_op::fsync, asio_op::fdatasync});
      break;
    case 2:
      its.op = asio_op::truncate;
      break;
    case 3:
      its.op = asio_op::allocate;
      its.length = std::max<std::size_t>(its.length, 1);
      break;
    case 4:
      if (random.below(2) == 0) its.op = asio_op::close;
      break;
    default:
      its.offset = asioq::current_position;
  }
}

inline step random_step(generator& random, const program& its, std::uint64_t whole_file_every, std::uint64_t span) {
  using asioq::asio_op;
  step made;
  made.luck = random();
  made.queue = random.below(its.queues.size());
  made.what = random_kind(random, its.is_burst);
  made.comes_back = any_of(random, {lane::collected, lane::collected, lane::received, lane::awaited});
  if (made.what != step::kind::submit && made.what != step::kind::submit_again) return made;
  made.where = any_of(random, {plain, plain, plain, again, appending, other, other, shared, shared});
  if (random.below(24) == 0) made.where = never_open;
  made.op = any_of(random, {asio_op::read, asio_op::read, asio_op::write, asio_op::write_back});
  made.length = random.below(random.below(3) == 0 ? 48 : 12);
  made.offset = random.below(span);
  if (random.below(4) == 0 && !its.steps.empty()) {  // continues the one before
    made.where = its.steps.back().where;
    made.queue = its.steps.back().queue;
    made.offset = its.steps.back().offset;
    if (made.offset != asioq::current_position) made.offset = made.offset % (1U << 20U) + its.steps.back().length;
  }
  if (random.below(3) == 0) made.first = random.below(buffer_size - made.length + 1);
  if (random.below(whole_file_every) == 0) widen(made, random);
  if (random.below(48) == 0 && made.op == asio_op::read && made.offset != asioq::current_position) made.offset <<= 40U;
  const asioq::operation_traits& traits = asioq::traits_of(made.op);
  const bool has_place = traits.transfers || made.op == asio_op::truncate || made.op == asio_op::allocate;
  const bool is_at_position = made.offset == asioq::current_position;
  // What the queues do to the file that they share must not show to each other.
  if (made.where == shared && !traits.is_sync && (!traits.transfers || is_at_position)) made.where = other;
  if (!has_place) made.length = 0;
  if (!traits.transfers && has_place && is_at_position) made.offset = random.below(span);
  return made;
}

/// The same for the same seed.
inline program random_program(std::uint64_t seed, engine on) {
  generator random(seed ^ 0x73696d756c617465U);
  program made;
  made.seed = random();
  made.on = on;
  made.how = any_of(
      random, {manner::keeps, manner::keeps, manner::starves, manner::at_once, manner::mixed, manner::any_inside});
  for (std::uint64_t left = 1 + (random.below(2) == 0 ? random.below(3) : 0); left > 0; --left)
    made.queues.push_back(random_queue(random));
  for (std::size_t& one : made.sizes) one = random.below(80);
  made.files_merge = random.below(3) != 0;
  made.nests = random.below(4) != 0;
  made.fails = any_of<std::uint64_t>(random, {0, 0, 6, 15, 40});
  made.shortens = any_of<std::uint64_t>(random, {0, 3, 8});
  made.interrupts = any_of<std::uint64_t>(random, {0, 4, 12});
  made.refuses = any_of<std::uint64_t>(random, {0, 0, 0, 3, 10});
  const auto whole_file_every = any_of<std::uint64_t>(random, {2, 4, 10, 40});
  const auto span = any_of<std::uint64_t>(random, {40, 90, 200});
  // Long enough for a task to leave the rest to another.
  made.is_burst = random.below(32) == 0;
  if (made.is_burst) {
    if (random.below(2) == 0) made.how = manner::starves;
    for (queue_plan& one : made.queues) {
      one.max_writebacks = 200;
      one.max_requests = 0;
    }
  }
  const std::uint64_t longest = made.is_burst ? 300 : 40;
  for (std::uint64_t left = 4 + random.below(longest); left > 0; --left)
    made.steps.push_back(random_step(random, made, whole_file_every, span));
  return made;
}

inline std::string text_of(const step& its) {
  constexpr std::array names{"submit",        "submit again", "drop",    "wait",   "try_wait",  "wait_for",
                             "wait, or stop", "poll",         "run_one", "sync",   "resume",    "cancel",
                             "stop",          "abandon",      "shrink",  "reopen", "run tasks", "renew the queue"};
  constexpr std::array files{"plain", "plain, opened again", "plain, O_APPEND", "other", "shared", "never open"};
  std::string text = "queue " + std::to_string(its.queue) + ": " + names[static_cast<std::size_t>(its.what)];
  const bool is_submitted =
      its.what == step::kind::submit || (its.what == step::kind::submit_again && its.luck % 2 == 0);
  if (is_submitted) {
    const asioq::operation_traits& traits = asioq::traits_of(its.op);
    text += std::string(" ") + traits.name + " of " + files[its.where];
    if (traits.transfers || its.op == asioq::asio_op::allocate) text += ", " + std::to_string(its.length) + " bytes";
    if (its.op == asioq::asio_op::truncate)
      text += " to " + std::to_string(its.offset);
    else if (its.offset == asioq::current_position)
      text += traits.transfers ? " at the position" : "";
    else if (traits.transfers || its.op == asioq::asio_op::allocate)
      text += " at " + std::to_string(its.offset);
    if (its.first != 0 && traits.transfers) text += ", from byte " + std::to_string(its.first) + " of the buffer";
  }
  if (is_submitted || its.what == step::kind::submit_again)
    text += std::array{"", ", with a receiver", ", by a coroutine"}[static_cast<std::size_t>(its.comes_back)];
  return text;
}

inline std::string text_of(const program& its) {
  constexpr std::array manners{"that keeps tasks", "that starves tasks", "that runs tasks at once",
                               "that runs tasks at once or later", "that runs any tasks inside execute"};
  std::string text = its.on == engine::disk
                         ? "on a simulated disk"
                         : std::string("on an executor ") + manners[static_cast<std::size_t>(its.how)];
  const auto rate = [&](const char* what, std::uint64_t every) {
    if (every != 0) text += std::string(", ") + what + " 1 in " + std::to_string(every);
  };
  rate("fails", its.fails);
  rate("cut short", its.shortens);
  rate("interrupted", its.interrupts);
  rate("refused", its.refuses);
  if (its.on == engine::tasks && its.nests) text += ", the world goes on during calls";
  if (its.on == engine::tasks && its.files_merge) text += ", requests merge";
  text += "\nfiles of " + std::to_string(its.sizes[0]) + " and " + std::to_string(its.sizes[1]) + " bytes";
  for (std::size_t i = 0; i < its.queues.size(); ++i) {
    const queue_plan& one = its.queues[i];
    text += "\nqueue " + std::to_string(i) + ": ";
    text += one.order == asioq::execution_order::strict
                ? "strict"
                : "as if serial, max_in_flight " + std::to_string(one.max_in_flight);
    text += one.on_failure == asioq::failure_policy::hold ? ", hold" : ", proceed";
    text += ", max_writebacks " + std::to_string(one.max_writebacks);
    if (one.max_requests != 0) text += ", max_requests " + std::to_string(one.max_requests);
    if (one.has_handle) text += ", with a descriptor";
  }
  for (std::size_t i = 0; i < its.steps.size(); ++i) text += "\n  " + std::to_string(i) + ": " + text_of(its.steps[i]);
  return text;
}

/// Leaves out what is not needed for it to go wrong, as `goes_wrong(program)` says.
template <class GoesWrong>
program smallest(program its, GoesWrong goes_wrong) {
  const auto accept = [&](program less) {
    if (!goes_wrong(less)) return false;
    its = std::move(less);
    return true;
  };
  const auto without_steps = [&] {
    for (std::size_t size = std::max<std::size_t>(its.steps.size() / 2, 1); size > 0; size /= 2) {
      for (std::size_t at = 0; at + size <= its.steps.size();) {
        program less = its;
        const auto from = less.steps.begin() + static_cast<std::ptrdiff_t>(at);
        less.steps.erase(from, from + static_cast<std::ptrdiff_t>(size));
        if (!accept(std::move(less))) at += size;
      }
    }
  };
  const auto with = [&](auto change) {
    program less = its;
    change(less);
    accept(std::move(less));
  };
  without_steps();
  while (its.queues.size() > 1) {
    program less = its;
    less.queues.pop_back();
    std::erase_if(less.steps, [&](const step& one) { return one.queue == less.queues.size(); });
    if (!accept(std::move(less))) break;
  }
  if (its.queues.size() > 1) {  // the first may be the one that is not needed
    program less = its;
    less.queues.erase(less.queues.begin());
    std::erase_if(less.steps, [](const step& one) { return one.queue == 0; });
    for (step& one : less.steps) --one.queue;
    accept(std::move(less));
  }
  with([](program& less) { less.refuses = 0; });
  with([](program& less) { less.interrupts = 0; });
  with([](program& less) { less.shortens = 0; });
  with([](program& less) { less.fails = 0; });
  with([](program& less) { less.nests = false; });
  with([](program& less) { less.files_merge = false; });
  with([](program& less) { less.how = manner::keeps; });
  with([](program& less) { less.sizes = {}; });
  for (std::size_t i = 0; i < its.queues.size(); ++i) {
    with([&](program& less) { less.queues[i].max_requests = 0; });
    with([&](program& less) { less.queues[i].has_handle = false; });
    with([&](program& less) { less.queues[i].on_failure = asioq::failure_policy::proceed; });
    with([&](program& less) { less.queues[i].order = asioq::execution_order::strict; });
  }
  for (std::size_t i = 0; i < its.steps.size(); ++i) {
    with([&](program& less) { less.steps[i].comes_back = lane::collected; });
    with([&](program& less) { less.steps[i].first = 0; });
    with([&](program& less) { less.steps[i].length = std::min<std::size_t>(less.steps[i].length, 2); });
  }
  without_steps();
  return its;
}

}  // namespace asioq_simulation
