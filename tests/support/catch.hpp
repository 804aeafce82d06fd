// Catch2, version 3 or 2: the tests include this and never ask which of them it is.
#pragma once

#include <cstdint>

#if __has_include(<catch2/catch_test_macros.hpp>)

#include <catch2/catch_get_random_seed.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_all.hpp>

namespace asioq_test {
/// Of the run, set by --rng-seed.
inline std::uint32_t seed() { return Catch::getSeed(); }
}  // namespace asioq_test

#else

#include <catch2/catch.hpp>

namespace asioq_test {
/// Of the run, set by --rng-seed; 0 if it is not set.
inline std::uint32_t seed() { return Catch::rngSeed(); }
}  // namespace asioq_test

#endif
