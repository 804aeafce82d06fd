// The engine on trial. Whatever is mutated is instantiated with it, in a unit of its own: all the rest is compiled
// once.
#pragma once

#include <asioq/detail/dispatch/io_dispatcher.hpp>

#include "any_io_executor.hpp"

extern template class asioq::detail::io_dispatcher<asioq_test::any_io_executor>;
