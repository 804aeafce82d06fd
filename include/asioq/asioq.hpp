#pragma once

/// @file
/// Everything that needs the standard library and POSIX alone.

#include <asioq/detail/support/requirements.hpp>

#if defined(__cpp_lib_jthread) && defined(__cpp_exceptions)

#include <asioq/asio_op.hpp>
#include <asioq/async_submit.hpp>
#include <asioq/completion.hpp>
#include <asioq/default_executor.hpp>
#include <asioq/error.hpp>
#include <asioq/executor.hpp>
#include <asioq/file.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/fwd.hpp>
#include <asioq/huge_page_resource.hpp>
#include <asioq/inline_executor.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/io_operation.hpp>
#include <asioq/operation.hpp>
#include <asioq/options.hpp>
#include <asioq/queue.hpp>
#include <asioq/reader.hpp>
#include <asioq/request.hpp>
#include <asioq/stream_buffer.hpp>
#include <asioq/task.hpp>
#include <asioq/thread_pool.hpp>
#include <asioq/version.hpp>
#include <asioq/writer.hpp>

#endif
