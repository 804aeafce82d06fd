// The seed of the random tests: of the environment variable ASIOQ_SEED, else of --rng-seed, else a new one.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>

#include "catch.hpp"

namespace asioq_test {

/// The same for the whole run; printed when it is first used.
inline std::uint64_t run_seed() {
  static const std::uint64_t value = [] {
    std::uint64_t chosen = seed();
    if (const char* wanted = std::getenv("ASIOQ_SEED")) {
      chosen = std::stoull(wanted);
    } else if (chosen == 0) {
      chosen = std::random_device{}();
    }
    std::cout << "seed " << chosen << " (repeat with ASIOQ_SEED=" << chosen << ")\n" << std::flush;
    return chosen;
  }();
  return value;
}

/// A generator for one use: another `stream` gives other numbers from the same seed.
inline std::mt19937_64 random_source(std::uint64_t stream = 0) {
  return std::mt19937_64{run_seed() * 0x9e3779b97f4a7c15U + stream};
}

/// From 0 to `limit` - 1.
inline std::size_t below(std::mt19937_64& random, std::size_t limit) {
  return static_cast<std::size_t>(random() % limit);
}

}  // namespace asioq_test
