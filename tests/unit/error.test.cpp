#include <asioq/error.hpp>

#include <string_view>
#include <type_traits>

#include "catch.hpp"

TEST_CASE("a write_back_error says what was not written, where, and why", "[error]") {
  STATIC_REQUIRE(std::is_base_of_v<std::system_error, asioq::write_back_error>);
  const asioq::write_back_error error(std::make_error_code(std::errc::no_space_on_device), 7, 4096, 512);
  CHECK(error.code() == std::errc::no_space_on_device);
  CHECK(error.fd() == 7);
  CHECK(error.offset() == 4096);
  CHECK(error.length() == 512);
  CHECK(std::string_view(error.what()).find("512") != std::string_view::npos);
  CHECK(std::string_view(error.what()).find("offset 4096") != std::string_view::npos);
  CHECK(std::string_view(error.what()).find(std::make_error_code(std::errc::no_space_on_device).message()) !=
        std::string_view::npos);
}

TEST_CASE("a write_back_error can be caught as a system_error, and copied", "[error]") {
  try {
    throw asioq::write_back_error(std::make_error_code(std::errc::io_error), 1, 2, 3);
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::io_error);
  }
  STATIC_REQUIRE(std::is_nothrow_copy_constructible_v<asioq::write_back_error>);
}
