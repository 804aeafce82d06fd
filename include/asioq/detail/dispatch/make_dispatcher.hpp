#pragma once

#include <asioq/detail/dispatch/concurrent_dispatcher.hpp>
#include <asioq/detail/dispatch/dispatcher.hpp>
#include <asioq/detail/dispatch/executor_reference.hpp>
#include <asioq/detail/dispatch/inline_dispatcher.hpp>
#include <asioq/detail/dispatch/io_dispatcher.hpp>
#include <asioq/detail/dispatch/strict_dispatcher.hpp>
#include <asioq/inline_executor.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/options.hpp>

#include <concepts>
#include <variant>

namespace asioq::detail {

/// The dispatcher for the executor and the options, from `operator new`. It refers to the executor until `leave()`.
template <queue_executor Executor>
dispatcher& make_dispatcher(const Executor& executor, const queue_options& options) {
  const bool strict = options.order == execution_order::strict;
  if constexpr (io_executor<Executor>) {
    return *new io_dispatcher<Executor>(executor, strict ? 1 : options.max_in_flight, options.on_failure);
  } else if constexpr (is_choice_of_executors<Executor>) {
    return std::visit([&](const auto& chosen) -> dispatcher& { return make_dispatcher(chosen, options); }, executor);
  } else if constexpr (std::same_as<Executor, inline_executor>) {
    return *new inline_dispatcher(options.on_failure);
  } else {
    const executor_reference reference(executor);
    if (strict) return *new strict_dispatcher(reference, options.on_failure);
    return *new concurrent_dispatcher(reference, options.max_in_flight, options.on_failure);
  }
}

}  // namespace asioq::detail
