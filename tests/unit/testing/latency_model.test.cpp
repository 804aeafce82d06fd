#include <asioq/testing/latency_model.hpp>

#include "catch.hpp"

using asioq::testing::latency_model;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;

TEST_CASE("the time of an operation is the sum of its parts", "[testing]") {
  const latency_model model{.fixed = 100ns,
                            .per_kibibyte = 10ns,
                            .seek_per_mebibyte = 1000ns,
                            .longest_seek = 5000ns,
                            .sync = 7ns,
                            .jitter = 3ns};
  CHECK(model.time_for(0, 0, false, 0) == 100ns);
  CHECK(model.time_for(1, 0, false, 0) == 110ns);
  CHECK(model.time_for(2048, 0, true, 0) == 127ns);
  CHECK(model.time_for(0, 1U << 19U, false, 0) == 600ns);
  CHECK(model.time_for(0, 1U << 30U, false, 0) == 5100ns);
  CHECK(model.time_for(0, latency_model::elsewhere - 1, false, 0) == 5100ns);
  CHECK(model.time_for(0, latency_model::elsewhere, false, 0) == 5100ns);
  for (const std::uint64_t chance : {std::uint64_t{0}, std::uint64_t{5}, ~std::uint64_t{0} - 1}) {
    CHECK(model.time_for(0, 0, false, chance) >= 100ns);
    CHECK(model.time_for(0, 0, false, chance) < 103ns);
  }
}

TEST_CASE("an operation takes some time", "[testing]") {
  const latency_model none{.fixed = 0ns, .per_kibibyte = 0ns, .sync = 0ns, .jitter = 0ns};
  CHECK(none.time_for(1000, latency_model::elsewhere, true, 1) == 1ns);
}
