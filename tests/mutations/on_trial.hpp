// What is on trial. Whatever is mutated is compiled in one unit, on_trial.cpp: all the rest is compiled once.
#pragma once

#include <asioq/detail/dispatch/io_dispatcher.hpp>

#include "any_io_executor.hpp"

extern template class asioq::detail::io_dispatcher<asioq_test::any_io_executor>;

namespace asioq_test {

/// The name of the first rule that does not hold; null if all do. See rules.hpp.
const char* first_broken_rule();

}  // namespace asioq_test
