// What a random program does, as data: so that it can be printed, repeated, and made smaller.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/options.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace asioq_simulation {

/// How a request comes back.
enum class lane { collected, received, awaited };

/// What the queues of a program are on.
enum class engine { disk, tasks };

/// What the executor of tasks does with one that it is given.
enum class manner {
  keeps,      ///< Keeps it until the scheduler takes it.
  starves,    ///< The same, but the scheduler takes one only when the program says so.
  at_once,    ///< Runs it inside `execute`.
  mixed,      ///< Sometimes the one, sometimes the other.
  any_inside  ///< Keeps it, and runs any that it has, of other queues too, inside `execute`.
};

/// A queue of a program, with the descriptors that it uses. No two queues share a descriptor. They share one file, in
/// which each has a part of its own.
struct queue_plan {
  asioq::execution_order order = asioq::execution_order::strict;
  asioq::failure_policy on_failure = asioq::failure_policy::proceed;
  std::size_t max_in_flight = 1;
  std::size_t max_writebacks = 1;
  std::size_t max_requests = 0;
  bool has_handle = false;  // the program may sleep on its descriptor
};

/// The descriptors of each queue: `plain` and `again` are two of one file, and so is `appending`.
enum target : std::size_t { plain, again, appending, other, shared, never_open, targets };

struct step {
  enum class kind {
    submit,        ///< A fresh request.
    submit_again,  ///< One that came back and was kept.
    drop,          ///< Recycles one that was kept.
    wait,
    try_wait,
    wait_for,
    wait_or_stop,
    poll,
    run_one,
    sync,
    resume,
    cancel,
    stop,     ///< By the token of a coroutine.
    abandon,  ///< Destroys a coroutine that waits.
    shrink,
    reopen,  ///< A number that was closed.
    tasks,   ///< Lets the executor run some.
    renew,   ///< Destroys the queue and makes another.
    kinds
  };

  kind what = kind::submit;
  std::size_t queue = 0;
  asioq::asio_op op = asioq::asio_op::free;
  target where = plain;
  std::size_t length = 0;
  std::uint64_t offset = asioq::current_position;
  std::size_t first = 0;  // of the buffer, what is transferred
  lane comes_back = lane::collected;
  std::uint64_t luck = 0;  // seeds all that is left to chance while it is done or, of a request, happens to that
};

struct program {
  std::uint64_t seed = 0;
  engine on = engine::disk;
  manner how = manner::keeps;
  std::vector<queue_plan> queues;
  std::array<std::size_t, 2> sizes{};  // of the files of each queue, at the beginning
  bool is_burst = false;               // many requests, and hardly anything else
  bool files_merge = true;             // on tasks: whether small requests may leave as one call
  bool nests = false;                  // on tasks: the world goes on while a call is in the kernel
  // How often, in 1 of so many; 0: never.
  std::uint64_t fails = 0;
  std::uint64_t shortens = 0;
  std::uint64_t interrupts = 0;
  std::uint64_t refuses = 0;
  std::vector<step> steps;
};

inline constexpr std::size_t buffer_size = 96;
inline constexpr std::size_t part_of_shared = 64;  // bytes of each queue in the shared file

}  // namespace asioq_simulation
