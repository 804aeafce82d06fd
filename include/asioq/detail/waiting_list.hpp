#pragma once

#include <asioq/detail/request_block.hpp>

namespace asioq::detail {

/// Adds a request, which is in no list, as the last.
inline void append(waiting_list& list, request_block& block) noexcept {
  block.waits_in = &list;
  block.before = list.last;
  block.behind = nullptr;
  (list.last == nullptr ? list.first : list.last->behind) = &block;
  list.last = &block;
}

/// Takes a request out of the list that it is in.
inline void leave_list(request_block& block) noexcept {
  waiting_list& list = *block.waits_in;
  (block.before == nullptr ? list.first : block.before->behind) = block.behind;
  (block.behind == nullptr ? list.last : block.behind->before) = block.before;
  block.waits_in = nullptr;
}

}  // namespace asioq::detail
