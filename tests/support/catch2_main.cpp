// The main() of the tests where Catch2 is version 2, which has no library that contains it.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
