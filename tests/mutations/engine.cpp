#include "engine.hpp"

template class asioq::detail::io_engine<asioq_test::any_io_executor>;
