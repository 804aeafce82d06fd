// Compiled once for all files of a test's executable, since it takes most of the time that each of them would take. They include
// what they use all the same.
#pragma once

#include <asioq/asioq.hpp>

#include "catch.hpp"
