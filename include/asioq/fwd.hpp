#pragma once

/// @file
/// Every public class, declared, and the one place where default template arguments are given.

#include <asioq/io_executor.hpp>

#include <cstddef>
#include <memory>

namespace asioq {

class asio_request;
class completion;
class default_executor;
class file;
class read_error;
class thread_pool;
class write_back_error;
struct inline_executor;
struct queue_options;
struct reader_options;

template <class Queue>
class async_submission;

template <class Queue>
class reader;

template <queue_executor Executor = default_executor, class Allocator = std::allocator<std::byte>>
class basic_asio_queue;

}  // namespace asioq
