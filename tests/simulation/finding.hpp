// What a simulation has found, where the process that supervises it can read it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace asioq_simulation {

/// Memory that the process of the programs shares with the one that waits for it.
struct report {
  std::uint64_t seed = 0;      // of the program that runs, or ran last
  std::uint64_t programs = 0;  // that have run to their end
  std::uint64_t requests = 0;  // that they have submitted
  std::uint64_t steps = 0;     // that engines have carried out: system calls or operations of a disk
  bool is_told = false;        // each step is printed
  char finding[2048] = {};     // empty: none
};

/// Where `found` writes to.
extern report* the_report;

/// Whether to say what happens.
inline bool is_told() noexcept { return the_report->is_told; }
void note(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// Something is wrong. Ends the process, since after a mistake in the library nothing is sure any more.
[[noreturn]] void found(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace asioq_simulation
