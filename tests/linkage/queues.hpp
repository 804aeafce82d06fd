// What the units of the programs in this folder give each other.
#pragma once

#include <asioq/asioq.hpp>

#include <cstddef>

#include "counting_allocator.hpp"

namespace linkage {

using queue = asioq::basic_asio_queue<asioq::default_executor, asioq_test::counting_allocator<std::byte>>;

// What the first unit or shared object does.
[[gnu::visibility("default")]] queue* make_queue(asioq_test::memory_log& log);
[[gnu::visibility("default")]] void destroy_queue(queue* old);
[[gnu::visibility("default")]] asioq::asio_request get_from(queue& its);
[[gnu::visibility("default")]] void fail_write_back(queue& its);  // throws write_back_error
[[gnu::visibility("default")]] asioq::default_executor default_of_first();

// What the second does.
[[gnu::visibility("default")]] void use(queue& its);
[[gnu::visibility("default")]] void destroy_request(asioq::asio_request request);
[[gnu::visibility("default")]] bool catches_write_back_error(queue& its);  // calls fail_write_back
[[gnu::visibility("default")]] asioq::default_executor default_of_second();

}  // namespace linkage
