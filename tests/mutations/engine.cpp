#include "engine.hpp"

template class asioq::detail::io_dispatcher<asioq_test::any_io_executor>;
