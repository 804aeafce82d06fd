#include <asioq/detail/support/time.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>

#include "catch.hpp"

using asioq::detail::saturate;
using std::chrono::nanoseconds;

TEST_CASE("a duration of any unit and length becomes nanoseconds", "[time]") {
  using frames = std::chrono::duration<std::int64_t, std::ratio<1, 60>>;
  using thirds = std::chrono::duration<std::int64_t, std::ratio<1, 3>>;
  using ntsc = std::chrono::duration<std::int64_t, std::ratio<1001, 30000>>;
  constexpr std::int64_t year = 31'556'952;
  CHECK(saturate<nanoseconds>(frames(1)) == nanoseconds(16'666'667));
  CHECK(saturate<nanoseconds>(frames(150 * year * 60)) == std::chrono::seconds(150 * year));
  CHECK(saturate<nanoseconds>(thirds(-290 * year * 3)) == std::chrono::seconds(-290 * year));
  CHECK(saturate<nanoseconds>(ntsc(30000)) == std::chrono::seconds(1001));
  CHECK(saturate<nanoseconds>(frames(293 * year * 60)) == nanoseconds::max());
  CHECK(saturate<nanoseconds>(frames::max()) == nanoseconds::max());
  CHECK(saturate<nanoseconds>(frames::min()) == nanoseconds::min());
  CHECK(saturate<nanoseconds>(std::chrono::hours::max()) == nanoseconds::max());
  CHECK(saturate<nanoseconds>(std::chrono::duration<double>(1.5)) == nanoseconds(1'500'000'000));
  CHECK(saturate<nanoseconds>(std::chrono::duration<double>(std::numeric_limits<double>::infinity())) ==
        nanoseconds::max());
  CHECK(saturate<nanoseconds>(std::chrono::duration<float>(std::numeric_limits<float>::quiet_NaN())) ==
        nanoseconds::zero());
  CHECK(saturate<nanoseconds>(nanoseconds(-7)) == nanoseconds(-7));
}
