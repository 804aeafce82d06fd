#include <asioq/version.hpp>

#include "catch.hpp"

TEST_CASE("the macros and the constant name one version", "[version]") {
  STATIC_REQUIRE(asioq::version ==
                 asioq::version_number{ASIOQ_VERSION_MAJOR, ASIOQ_VERSION_MINOR, ASIOQ_VERSION_PATCH});
  STATIC_REQUIRE(asioq::version > asioq::version_number{0, 0, 99});
}
