#pragma once

#include <asioq/detail/concurrent_engine.hpp>
#include <asioq/detail/inline_engine.hpp>
#include <asioq/detail/io_engine.hpp>
#include <asioq/detail/serial_engine.hpp>
#include <asioq/inline_executor.hpp>
#include <asioq/io_executor.hpp>
#include <asioq/options.hpp>

#include <concepts>
#include <variant>

namespace asioq::detail {

/// The engine for the executor and the options, from `operator new`. It refers to the executor until `leave()`.
template <queue_executor Executor>
engine& make_engine(const Executor& executor, const queue_options& options) {
  const bool strict = options.order == execution_order::strict;
  if constexpr (io_executor<Executor>) {
    return *new io_engine<Executor>(executor, strict ? 1 : options.max_in_flight, options.on_failure);
  } else if constexpr (is_choice_of_executors<Executor>) {
    return std::visit([&](const auto& chosen) -> engine& { return make_engine(chosen, options); }, executor);
  } else if constexpr (std::same_as<Executor, inline_executor>) {
    return *new inline_engine(options.on_failure);
  } else {
    const executor_reference reference(executor);
    if (strict) return *new serial_engine(reference, options.on_failure);
    return *new concurrent_engine(reference, options.max_in_flight, options.on_failure);
  }
}

}  // namespace asioq::detail
