// The groups of rows, in the order of the table.
#pragma once

#include <cstdint>
#include <filesystem>

#include "support/rows.hpp"
#include "support/test_file.hpp"

namespace bench {

void add_transfers(table& rows, const test_file& file);        // transfers.cpp
void add_overhead(table& rows, const test_file& cached_file);  // transfers.cpp; the file fits into a processor's cache
void add_queue_cost(table& rows);                              // queue_cost.cpp
void add_overlaps(table& rows, const test_file& file);         // overlap.cpp
void add_completions(table& rows, const test_file& file, const test_file& cached_file);           // completions.cpp
void add_adjacent(table& rows, const test_file& file);                                            // adjacent.cpp
void add_streams(table& rows, const test_file& file);                                             // streams.cpp
void add_memory(table& rows);                                                                     // memory.cpp
void add_programs(table& rows, const std::filesystem::path& folder, std::uint64_t size_of_file);  // programs.cpp

}  // namespace bench
