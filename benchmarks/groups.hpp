// The groups of rows, in the order of the table; each has a file of its own.
#pragma once

#include "support/rows.hpp"

namespace bench {

void add_queue_cost(table& rows);

}  // namespace bench
