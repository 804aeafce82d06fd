// simulated_programs [PROGRAMS [disk|tasks]]: runs so many random programs (2000) on several queues, in both orders, on
// a simulated disk or on an executor of tasks (on both), each beside a model that knows what must come of it: see
// run.hpp and model.hpp. Returns 0 if nothing goes wrong, else 1.
//
// Each program has a seed, which decides everything. The first is that of the environment variable ASIOQ_SEED, else a
// new one; the next one's is greater by one. A program that goes wrong, crashes, or does not end is made smaller and
// printed, with what happens in it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <random>
#include <string>
#include <string_view>

#include "finding.hpp"
#include "program.hpp"
#include "random_program.hpp"
#include "run.hpp"

namespace asioq_simulation {

report* the_report = nullptr;

void note(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::puts("");
  std::fflush(stdout);
}

void found(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(the_report->finding, sizeof the_report->finding, format, arguments);
  va_end(arguments);
  std::_Exit(1);
}

namespace {

/// Makes the report, in memory that is shared with children.
void make_report() {
  void* const memory = ::mmap(nullptr, sizeof(report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  the_report = ::new (memory) report;
}

// In seconds.
constexpr unsigned longest_program = 20;
constexpr unsigned longest_of_smaller_ones = 2;
constexpr auto longest_search = std::chrono::seconds(60);  // for the smallest

/// Runs what `body()` does in a child. Returns whether it has gone wrong; the report then says how.
template <class Body>
bool goes_wrong_in_a_child(Body body, bool is_quiet) {
  the_report->finding[0] = '\0';
  const pid_t child = ::fork();
  if (child < 0) std::abort();
  if (child == 0) {
    if (is_quiet) std::freopen("/dev/null", "w", stderr);
    body();
    std::exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
  if (the_report->finding[0] == '\0') {
    const bool has_no_end = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    std::snprintf(the_report->finding, sizeof the_report->finding,
                  has_no_end ? "it does not end" : "it ends with %s %d", WIFSIGNALED(status) ? "signal" : "status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  }
  return true;
}

bool goes_wrong(const program& its) {
  return goes_wrong_in_a_child(
      [&] {
        ::alarm(longest_of_smaller_ones);
        run(its).go();
      },
      true);
}

int open_descriptors() {
  int count = 0;
  for (int fd = 0; fd < 1024; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0) ++count;
  return count;
}

int run_all(std::uint64_t first, std::uint64_t count, engine on) {
  make_report();
  const bool is_wrong = goes_wrong_in_a_child(
      [&] {
        const int descriptors = open_descriptors();
        for (std::uint64_t i = 0; i < count; ++i) {
          the_report->seed = first + i;
          if (i % 64 == 0) ::alarm(longest_program);
          run(random_program(first + i, on)).go();
          ++the_report->programs;
        }
        if (open_descriptors() != descriptors) found("descriptors of the system are left open");
      },
      false);
  const auto number = [](std::uint64_t its) { return static_cast<unsigned long long>(its); };
  const char* const name = on == engine::disk ? "disk" : "tasks";
  std::printf("%s: %llu programs with %llu requests and %llu steps\n", name, number(the_report->programs),
              number(the_report->requests), number(the_report->steps));
  std::fflush(stdout);
  if (!is_wrong && the_report->programs == count) return 0;
  if (!is_wrong) {
    std::printf("FOUND: it has ended too early\n");
    return 1;
  }
  const std::uint64_t seed = the_report->seed;
  std::printf("FOUND: %s\nrepeat with ASIOQ_SEED=%llu simulated_programs 1 %s\n", the_report->finding, number(seed),
              name);
  std::fflush(stdout);
  program its = random_program(seed, on);
  if (!goes_wrong(its)) {
    std::printf("but not if it is the first program\n%s\n", text_of(its).c_str());
    return 1;
  }
  const auto end = std::chrono::steady_clock::now() + longest_search;
  its =
      smallest(its, [end](const program& less) { return std::chrono::steady_clock::now() < end && goes_wrong(less); });
  std::printf("the smallest that goes wrong:\n%s\nwhat happens:\n", text_of(its).c_str());
  std::fflush(stdout);
  the_report->is_told = true;
  goes_wrong(its);
  std::printf("FOUND in the smallest: %s\n", the_report->finding);
  return 1;
}

}  // namespace

}  // namespace asioq_simulation

int main(int count, char** arguments) {
  using namespace asioq_simulation;
  const char* const wanted = std::getenv("ASIOQ_SEED");
  const std::uint64_t seed = wanted != nullptr ? std::stoull(wanted) : std::random_device{}();
  const std::uint64_t programs = count > 1 ? std::stoull(arguments[1]) : 2000;
  const std::string_view on = count > 2 ? arguments[2] : "";
  std::printf("seed %llu (repeat with ASIOQ_SEED=%llu)\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  int status = 0;
  if (on != "tasks") status = run_all(seed, programs, engine::disk);
  if (on != "disk" && status == 0) status = run_all(seed, programs, engine::tasks);
  return status;
}
