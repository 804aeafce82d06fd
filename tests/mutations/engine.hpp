// The engine on trial. Whatever is mutated is instantiated with it, in a unit of its own: all the rest is compiled
// once.
#pragma once

#include <asioq/detail/io_engine.hpp>

#include "any_io_executor.hpp"

extern template class asioq::detail::io_engine<asioq_test::any_io_executor>;
