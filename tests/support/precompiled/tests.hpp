// Compiled once for all files of a test's executable, whose compilation it shortens. They include what they use all the
// same.

#include <asioq/asioq.hpp>

#include "catch.hpp"
