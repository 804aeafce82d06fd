#include <asioq/testing/detail/generator.hpp>

#include "catch.hpp"

using asioq::testing::detail::generator;

TEST_CASE("the generator gives the numbers of splitmix64", "[testing]") {
  generator random(1234567);  // the values are those of Vigna's splitmix64.c
  CHECK(random() == 6457827717110365317U);
  CHECK(random() == 3203168211198807973U);
  CHECK(random() == 9817491932198370423U);
}

TEST_CASE("a rate of 0 never happens, one of 1 always", "[testing]") {
  generator random(7);
  int some = 0;
  for (int i = 0; i < 1000; ++i) {
    REQUIRE_FALSE(random.happens(0));
    REQUIRE(random.happens(1));
    some += random.happens(0.25) ? 1 : 0;
    REQUIRE(random.below(3) < 3);
  }
  CHECK(some > 150);
  CHECK(some < 350);
  CHECK(random.below(0) == 0);
}
