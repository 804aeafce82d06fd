// Threads that are not: fibers on one thread, of which a schedule chosen by a seed lets one run at a time.
//
// A fiber runs until it comes to a *point*: wherever it does something that another could observe, or that lets it
// observe another. There the schedule decides which fiber goes on. So a schedule is a sequence of decisions, all from
// one seed, and the same seed gives the same run.
//
// What is between two points is one step, and memory is sequentially consistent: the weaker memory orders of the code
// are not looked at. Why these suffice is argued in the headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace asioq_explorer {

/// The random numbers of one use: splitmix64 (Steele et al., 2014).
class random_source {
 public:
  explicit random_source(std::uint64_t seed = 0) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    std::uint64_t value = (state_ += 0x9e3779b97f4a7c15U);
    value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
    return value ^ (value >> 31U);
  }

  /// From 0 to `limit` - 1.
  std::uint64_t below(std::uint64_t limit) noexcept { return ((next() >> 32U) * limit) >> 32U; }
  bool one_in(std::uint64_t chance) noexcept { return below(chance) == 0; }

 private:
  std::uint64_t state_;
};

/// How a schedule decides.
enum class strategy {
  walk,       ///< At each point any fiber may go on; how often the same one does is part of the seed.
  priorities  ///< The fiber with the highest priority goes on; at a few points the priorities change (PCT: Burckhardt
              ///< et al., 2010). Finds what needs one thread to stand still for long.
};

namespace schedule {

/// Forgets all fibers; the next `run` follows this seed.
void begin(std::uint64_t seed, strategy how);

/// Adds a fiber, which begins in `run`. The name is for the trace.
void add(const char* name, std::function<void()> body);

/// Runs until all fibers have ended. That some never can is a finding.
void run();

/// Whether a fiber is running, rather than the program around it.
bool is_running() noexcept;

/// The name of the fiber that is running.
const char* name() noexcept;

/// A decision of the schedule: a number below `limit`.
std::uint64_t choose(std::uint64_t limit) noexcept;

/// A point. What is about to happen is for the trace.
void point(const char* what, const void* object = nullptr) noexcept;

/// The point of a read. In a loop that reads the same until it changes, most turns are no points: no other fiber has
/// come in between.
void point_of_read(const void* object) noexcept;

/// A point at which the fiber has nothing better to do: others first.
void yield() noexcept;

/// A condition of some object.
using condition = bool (*)(const void* object);

/// A point after which the condition holds. If none of the fibers can go on, that is a finding.
void wait(const char* what, condition holds, const void* object) noexcept;

/// The same for a wait that may be long: not for a fiber that must not sleep.
void sleep(const char* what, condition holds, const void* object) noexcept;

/// While it lives, the fiber that has made it must not sleep.
class awake {
 public:
  awake() noexcept;
  ~awake();
  awake(const awake&) = delete;
  awake& operator=(const awake&) = delete;
};

/// While it lives, the fiber that has made it may sleep after all.
class not_awake {
 public:
  not_awake() noexcept;
  ~not_awake();
  not_awake(const not_awake&) = delete;
  not_awake& operator=(const not_awake&) = delete;

 private:
  bool before_;
};

/// As `wait`, but ends at the deadline, in nanoseconds of `now()`, whenever the schedule likes: then it returns false,
/// and the deadline is over. If the deadline is far away, this happens only when no other fiber can go on.
bool wait_until(const char* what, condition holds, const void* object, std::uint64_t deadline) noexcept;

/// Whether the fiber of that name sleeps: it waits for something that has not come.
bool sleeps(const char* name) noexcept;

/// Nanoseconds to a deadline that is far away.
inline constexpr std::uint64_t very_long = 1'000'000'000'000'000;

/// How many waits of this fiber have ended at their deadline when no other fiber could go on.
std::uint64_t timed_out_alone() noexcept;

/// The time, in nanoseconds. It goes on by itself, sometimes by much.
std::uint64_t now() noexcept;

/// While it lives there are no points: what is done is one step.
class in_one_step {
 public:
  in_one_step() noexcept;
  ~in_one_step();
  in_one_step(const in_one_step&) = delete;
  in_one_step& operator=(const in_one_step&) = delete;
};

/// Something is wrong: prints what, the last steps and how to repeat them, and ends the program with status 1.
[[noreturn]] void found(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// What prints more about the run when something is found; null: nothing.
void set_description(void (*describe)(const void* object), const void* object) noexcept;

/// The points of the last `run`.
std::uint64_t steps() noexcept;

}  // namespace schedule

}  // namespace asioq_explorer
