#include "on_trial.hpp"

#include "rules.hpp"

template class asioq::detail::io_dispatcher<asioq_test::any_io_executor>;

const char* asioq_test::first_broken_rule() { return asioq_test::rules::first_broken(); }
