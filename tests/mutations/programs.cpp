// The property test of tests/stress/as_if_serial.test.cpp, on simulated disks and with the same programs each time;
// then the rules of rules.hpp. Returns 0 if nothing goes wrong, 1 if something does.
#include "compare_programs.hpp"
#include "random_program.hpp"

#include <asioq/queue.hpp>

#include <iostream>

#include "on_trial.hpp"

int main() {
  const asioq_test::playground files;
  constexpr std::uint64_t programs = 1500;
  for (std::uint64_t seed = 0; seed < programs; ++seed) {
    const asioq_test::program its = asioq_test::programs::random_program(seed, files, {});
    const std::string wrong = asioq_test::programs::compare_on_simulated_disks(
        its, files, asioq_test::make_queue<asioq_test::any_io_executor>);
    if (wrong.empty()) continue;
    std::cout << "program " << seed << ": " << wrong << '\n';
    return 1;
  }
  if (const char* const rule = asioq_test::first_broken_rule()) {
    std::cout << "does not hold: " << rule << '\n';
    return 1;
  }
}
