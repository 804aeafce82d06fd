#pragma once

#include <asioq/detail/request/record.hpp>

namespace asioq::detail {

/// Adds a request, which is in no list, as the last.
inline void append(waiting_list& list, request_record& record) noexcept {
  record.waits_in = &list;
  record.before = list.last;
  record.behind = nullptr;
  (list.last == nullptr ? list.first : list.last->behind) = &record;
  list.last = &record;
}

/// Removes a request from the list that it is in.
inline void leave_list(request_record& record) noexcept {
  waiting_list& list = *record.waits_in;
  (record.before == nullptr ? list.first : record.before->behind) = record.behind;
  (record.behind == nullptr ? list.last : record.behind->before) = record.before;
  record.waits_in = nullptr;
}

}  // namespace asioq::detail
