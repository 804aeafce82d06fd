#include "fibers.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#ifdef ASIOQ_EXPLORER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

// The exceptions that a thread has caught and not done with are its own, and fibers are meant to be threads: see the
// Itanium C++ ABI, Exception Handling, 2.2.2.
namespace __cxxabiv1 {
struct __cxa_eh_globals;
extern "C" __cxa_eh_globals* __cxa_get_globals() noexcept;
}  // namespace __cxxabiv1

// Stores where the running fiber stands to *from, and goes on where `to` stands. swapcontext would do the same with two
// system calls.
#if defined(__x86_64__)
extern "C" void asioq_explorer_switch(void** from, void* to);
asm(R"(
.text
.globl asioq_explorer_switch
.type asioq_explorer_switch, @function
asioq_explorer_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size asioq_explorer_switch, .-asioq_explorer_switch
)");
#elif defined(__aarch64__)
extern "C" void asioq_explorer_switch(void** from, void* to);
asm(R"(
.text
.globl asioq_explorer_switch
.type asioq_explorer_switch, %function
asioq_explorer_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size asioq_explorer_switch, .-asioq_explorer_switch
)");
#endif

namespace asioq_explorer {
namespace {

constexpr std::size_t stack_size = std::size_t{256} * 1024;
constexpr std::size_t most_fibers = 16;
constexpr std::uint64_t most_steps = 100'000;          // a schedule that has not ended by then goes round in circles
constexpr std::uint64_t far_away = 1'000'000'000'000;  // nanoseconds

/// What __cxa_get_globals points to.
struct caught_exceptions {
  void* caught = nullptr;
  unsigned uncaught = 0;
};

class stack {
 public:
  stack()
      : memory_(::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {
    if (memory_ == MAP_FAILED || ::mprotect(memory_, 4096, PROT_NONE) != 0) std::abort();
  }
  stack(const stack&) = delete;
  stack& operator=(const stack&) = delete;
  ~stack() { ::munmap(memory_, stack_size); }

  [[nodiscard]] std::byte* low() const noexcept { return static_cast<std::byte*>(memory_); }
  [[nodiscard]] std::byte* high() const noexcept { return low() + stack_size; }

 private:
  void* memory_;
};

struct fiber {
  const char* name = "main";
  std::function<void()> body;
  bool has_ended = true;
  // It can go on if this holds, if there is one.
  schedule::condition holds = nullptr;
  const void* object = nullptr;
  bool is_timed = false;  // or if the schedule says that the deadline has come
  std::uint64_t deadline = 0;
  std::uint64_t timed_out_alone = 0;
  std::uint64_t priority = 0;
  bool must_not_sleep = false;
  // The last reads of the same object, with nothing between them.
  const void* last_read = nullptr;
  std::uint64_t reads = 0;

  void* stands_at = nullptr;
  caught_exceptions exceptions;
#if !defined(__x86_64__) && !defined(__aarch64__)
  ucontext_t context;
#endif
#ifdef ASIOQ_EXPLORER_ASAN
  void* fake_stack = nullptr;
  const void* low = nullptr;
  std::size_t size = 0;
#endif
  std::unique_ptr<stack> its_stack;
};

struct event {
  const fiber* its;
  const char* what;
  const void* object;
};

// All of one thread.
std::array<fiber, most_fibers> fibers;
std::size_t fiber_count = 0;
fiber main_fiber;
fiber* current = &main_fiber;
caught_exceptions* exceptions = nullptr;

strategy how_to_choose = strategy::walk;
random_source source;
std::uint64_t seed_of_schedule = 0;
std::uint64_t goes_on = 0;             // strategy::walk: at this many of 16 points the same fiber goes on
std::array<std::uint64_t, 4> changes;  // strategy::priorities: the steps at which the running fiber gets the lowest
std::uint64_t lowest = 0;
std::uint64_t step_count = 0;
std::uint64_t time_now = 0;
int holds_points = 0;

void (*describe)(const void* object) = nullptr;
const void* described = nullptr;

std::array<event, 256> last_events;
std::uint64_t event_count = 0;

void note(const char* what, const void* object) noexcept {
  last_events[event_count++ % last_events.size()] = {current, what, object};
}

void print_last_events() noexcept {
  const std::uint64_t first = event_count > last_events.size() ? event_count - last_events.size() : 0;
  for (std::uint64_t i = first; i < event_count; ++i) {
    const event& one = last_events[i % last_events.size()];
    std::fprintf(stderr, "  %-10s %s", one.its->name, one.what);
    if (one.object != nullptr) std::fprintf(stderr, " %p", one.object);
    std::fprintf(stderr, "\n");
  }
  for (std::size_t i = 0; i < fiber_count; ++i) {
    const fiber& one = fibers[i];
    const char* const state = one.has_ended ? "has ended" : one.holds == nullptr ? "can go on" : "waits";
    std::fprintf(stderr, "  %-10s %s\n", one.name, state);
  }
  if (describe != nullptr) describe(described);
}

void print_seed() noexcept {
  std::fprintf(stderr, "Repeat with ASIOQ_SEED=%llu\n", static_cast<unsigned long long>(seed_of_schedule));
}

void switch_to(fiber& next);

void end_of_fiber() noexcept;

void run_body() noexcept {
#ifdef ASIOQ_EXPLORER_ASAN
  const void* low = nullptr;
  std::size_t size = 0;
  __sanitizer_finish_switch_fiber(nullptr, &low, &size);
  if (main_fiber.low == nullptr) {
    main_fiber.low = low;
    main_fiber.size = size;
  }
#endif
  *exceptions = {};
  current->body();
  end_of_fiber();
}

void prepare(fiber& its) {
  if (!its.its_stack) its.its_stack = std::make_unique<stack>();
#ifdef ASIOQ_EXPLORER_ASAN
  its.low = its.its_stack->low() + 4096;
  its.size = stack_size - 4096;
  its.fake_stack = nullptr;
  __asan_unpoison_memory_region(its.low, its.size);  // of the fiber that had it before
#endif
#if defined(__x86_64__)
  // As a call would leave it: six registers, where to return to, and no caller of that.
  auto** top = reinterpret_cast<void**>(its.its_stack->high()) - 2;
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&run_body);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  its.stands_at = top;
#elif defined(__aarch64__)
  auto** const top = reinterpret_cast<void**>(its.its_stack->high()) - 20;
  std::fill_n(top, 20, nullptr);
  top[11] = reinterpret_cast<void*>(&run_body);  // x30
  its.stands_at = top;
#else
  ::getcontext(&its.context);
  its.context.uc_stack.ss_sp = its.its_stack->low() + 4096;
  its.context.uc_stack.ss_size = stack_size - 4096;
  its.context.uc_link = nullptr;
  ::makecontext(&its.context, reinterpret_cast<void (*)()>(&run_body), 0);
#endif
}

void switch_to(fiber& next) {
  fiber& before = *current;
  before.exceptions = *exceptions;
  current = &next;
#ifdef ASIOQ_EXPLORER_ASAN
  __sanitizer_start_switch_fiber(before.has_ended && &before != &main_fiber ? nullptr : &before.fake_stack, next.low,
                                 next.size);
#endif
#if defined(__x86_64__) || defined(__aarch64__)
  asioq_explorer_switch(&before.stands_at, next.stands_at);
#else
  ::swapcontext(&before.context, &next.context);
#endif
#ifdef ASIOQ_EXPLORER_ASAN
  __sanitizer_finish_switch_fiber(before.fake_stack, nullptr, nullptr);
#endif
  *exceptions = before.exceptions;
}

bool can_go_on(const fiber& its) noexcept { return !its.has_ended && (its.holds == nullptr || its.holds(its.object)); }

/// The fiber that goes on; main_fiber if all have ended.
fiber& choose_next() noexcept {
  const schedule::in_one_step conditions_have_no_points;
  std::array<fiber*, most_fibers> able;
  std::size_t count = 0;
  std::array<fiber*, most_fibers> timed;
  std::size_t timed_count = 0;
  bool have_all_ended = true;
  for (std::size_t i = 0; i < fiber_count; ++i) {
    fiber& one = fibers[i];
    if (one.has_ended) continue;
    have_all_ended = false;
    if (can_go_on(one)) {
      if (how_to_choose == strategy::walk && &one == current && one.reads == 0 && source.below(16) < goes_on)
        return one;
      able[count++] = &one;
    } else if (one.is_timed) {
      timed[timed_count++] = &one;
    }
  }
  if (have_all_ended) return main_fiber;
  // A deadline that is near may come before anything else happens.
  for (std::size_t i = 0; i < timed_count && count > 0; ++i) {
    if (timed[i]->deadline > time_now + far_away || !source.one_in(16)) continue;
    able[count++] = timed[i];
  }
  if (count == 0) {
    if (timed_count == 0) schedule::found("no fiber can go on");
    fiber& next = *timed[source.below(timed_count)];
    ++next.timed_out_alone;
    return next;
  }
  if (how_to_choose == strategy::walk) return *able[count == 1 ? 0 : source.below(count)];
  return **std::max_element(able.begin(), able.begin() + count,
                            [](const fiber* one, const fiber* other) { return one->priority < other->priority; });
}

void choose_and_switch() noexcept {
  if (++step_count > most_steps)
    schedule::found("this does not end: %llu steps", static_cast<unsigned long long>(step_count));
  if (how_to_choose == strategy::priorities && std::find(changes.begin(), changes.end(), step_count) != changes.end())
    current->priority = --lowest;
  fiber& next = choose_next();
  if (&next != current) switch_to(next);
}

void end_of_fiber() noexcept {
  current->has_ended = true;
  current->body = nullptr;
  switch_to(choose_next());
}

/// What ends the program from outside of the explorer: an assertion, a signal. Says which schedule it was.
void on_signal(int signal) {
  std::fprintf(stderr, "Signal %d\n", signal);
  print_last_events();
  print_seed();
  std::_Exit(1);
}

void install_handlers() {
  static const bool done = [] {
    exceptions = reinterpret_cast<caught_exceptions*>(__cxxabiv1::__cxa_get_globals());
#ifdef ASIOQ_EXPLORER_ASAN
    __sanitizer_set_death_callback(print_seed);
    std::signal(SIGABRT, on_signal);
#else
    for (const int one : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
      struct sigaction action = {};
      action.sa_handler = on_signal;
      action.sa_flags = SA_ONSTACK;
      ::sigaction(one, &action, nullptr);
    }
    static std::array<std::byte, 64 * 1024> memory;
    stack_t alternative = {};
    alternative.ss_sp = memory.data();
    alternative.ss_size = memory.size();
    ::sigaltstack(&alternative, nullptr);
#endif
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace

namespace schedule {

void begin(std::uint64_t seed, strategy how) {
  install_handlers();
  seed_of_schedule = seed;
  source = random_source(seed ^ 0x7363686564756c65U);
  how_to_choose = how;
  fiber_count = 0;
  goes_on = std::array<std::uint64_t, 4>{0, 8, 12, 15}[source.below(4)];
  lowest = std::uint64_t{1} << 40U;
  const std::uint64_t steps_to_come = std::uint64_t{64} << source.below(6);
  for (std::uint64_t& one : changes) one = source.one_in(4) ? 0 : source.below(steps_to_come);
  step_count = 0;
  event_count = 0;
  time_now = 1'000'000'000;
}

void add(const char* name, std::function<void()> body) {
  if (fiber_count == fibers.size()) std::abort();
  fiber& its = fibers[fiber_count++];
  its.name = name;
  its.body = std::move(body);
  its.has_ended = false;
  its.holds = nullptr;
  its.is_timed = false;
  its.must_not_sleep = false;
  its.last_read = nullptr;
  its.reads = 0;
  its.priority = lowest + source.below(1U << 20U);
  prepare(its);
}

void run() {
  fiber& first = choose_next();
  if (&first != &main_fiber) switch_to(first);
}

bool is_running() noexcept { return current != &main_fiber; }

const char* name() noexcept { return current->name; }

std::uint64_t choose(std::uint64_t limit) noexcept { return source.below(limit); }

void point(const char* what, const void* object) noexcept {
  if (!is_running() || holds_points != 0) return;
  note(what, object);
  current->last_read = nullptr;
  current->reads = 0;
  choose_and_switch();
}

void point_of_read(const void* object) noexcept {
  if (!is_running() || holds_points != 0) return;
  if (current->last_read == object && ++current->reads > 2) {
    if (current->reads % 16 == 0) yield();
    return;
  }
  note("load", object);
  choose_and_switch();
  if (current->last_read != object) current->reads = 0;
  current->last_read = object;
}

void yield() noexcept {
  if (!is_running() || holds_points != 0) return;
  note("yield", nullptr);
  if (how_to_choose == strategy::priorities) current->priority = --lowest;
  choose_and_switch();
}

void wait(const char* what, condition holds, const void* object) noexcept {
  if (!is_running()) {
    if (!holds(object)) found("%s outside of fibers would wait for ever", what);
    return;
  }
  if (holds_points != 0 && !holds(object)) found("%s waits where it must not", what);
  if (holds_points != 0) return;
  current->last_read = nullptr;
  current->reads = 0;
  note(what, object);
  current->holds = holds;
  current->object = object;
  choose_and_switch();
  current->holds = nullptr;
}

void sleep(const char* what, condition holds, const void* object) noexcept {
  if (current->must_not_sleep && !holds(object)) found("%s would sleep where it must not", what);
  wait(what, holds, object);
}

awake::awake() noexcept { current->must_not_sleep = true; }
awake::~awake() { current->must_not_sleep = false; }

not_awake::not_awake() noexcept : before_(std::exchange(current->must_not_sleep, false)) {}
not_awake::~not_awake() { current->must_not_sleep = before_; }

bool wait_until(const char* what, condition holds, const void* object, std::uint64_t deadline) noexcept {
  if (!is_running()) return holds(object);
  current->deadline = deadline;
  current->is_timed = true;
  wait(what, holds, object);
  current->is_timed = false;
  if (holds(object)) return true;
  note("timed out", object);
  time_now = std::max(time_now, deadline);
  return false;
}

bool sleeps(const char* name) noexcept {
  for (std::size_t i = 0; i < fiber_count; ++i)
    if (std::string_view(fibers[i].name) == name) return !can_go_on(fibers[i]);
  return false;
}

std::uint64_t timed_out_alone() noexcept { return current->timed_out_alone; }

std::uint64_t now() noexcept { return time_now += source.one_in(16) ? 30'000 : 500; }

in_one_step::in_one_step() noexcept { ++holds_points; }
in_one_step::~in_one_step() { --holds_points; }

void found(const char* format, ...) {
  std::fflush(stdout);
  std::fprintf(stderr, "The last steps:\n");
  print_last_events();
  std::va_list arguments;
  va_start(arguments, format);
  std::fprintf(stderr, "FOUND in %s: ", current->name);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "\n");
  print_seed();
  std::_Exit(1);
}

void set_description(void (*its_describe)(const void* object), const void* object) noexcept {
  describe = its_describe;
  described = object;
}

std::uint64_t steps() noexcept { return step_count; }

}  // namespace schedule
}  // namespace asioq_explorer
