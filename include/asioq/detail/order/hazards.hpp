#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/detail/order/file_table.hpp>
#include <asioq/detail/order/interval_tree.hpp>
#include <asioq/detail/order/waiting_list.hpp>
#include <asioq/detail/request/range.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/operation.hpp>

#include <algorithm>
#include <cstdint>

namespace asioq::detail {

/// Finds out which requests must not run at the same time because one could observe the other.
///
/// Each request stands for a range of bytes of its file, and excludes either everything in that range or writers alone.
/// - A positional read stands for its bytes and excludes writers. If it may reach the end of the file, it stands for
///   everything from there on as well, since a write anywhere beyond moves the end, which the read would observe.
/// - A positional write stands for its bytes and excludes all.
/// - A positional transfer of no bytes stands for one, since the kernel still refuses it after a close.
/// - Everything else stands for the whole file and excludes all: what uses the file's position, a write with O_APPEND,
///   syncs, truncate, allocate, close, and everything on a stream.
/// - A sync that can be passed waits for all of them, but only other syncs and close wait for it: a sync to inherit its
///   error, and a close since the number is still in use.
///
/// Three interval trees hold the ranges, so finding a request that is in the way takes logarithmic time (see there). A
/// blocked request waits in the list of *one* request that is in its way. When that has finished, the blocked one looks
/// for the next.
/// - First it waits for the youngest, which is likely to finish last. In a chain it certainly does.
/// - Then it waits for any, chosen by priorities that have nothing to do with the order in which requests finish. If n
///   are in its way, half of them have finished by then on average, so it looks about log(n) times.
/// - A request right behind one that excludes the whole file needs no search, since that one waits for all others.
///
/// Where a search would take long, a request may also wait for an older one of its file that is not in its way. Which
/// one it waits for changes no result, and since that one is older, it does not wait for the request. Not thread-safe.
class hazards {
 public:
  /// Adds a request, younger than all others here, of a file whose facts are known. Returns whether it may run. If not,
  /// it is in the list of another request.
  bool add(request_record& record, open_file& file, file_table& files) noexcept {
    constexpr std::uint64_t file_end = file_facts::unlimited;
    const operation_traits& traits = record.traits();
    const bool is_of_a_range =
        traits.of_a_range && !record.at_position() && !file.facts.is_stream && !(traits.writes && file.facts.appends);
    std::uint64_t begin = is_of_a_range ? record.offset : 0;
    std::uint64_t end = is_of_a_range ? record.offset + std::max<std::uint64_t>(record.length, 1) : file_end;
    record.excludes = !is_of_a_range || traits.writes;
    if (!record.excludes && end > files.size_of(file)) {
      begin = std::min(begin, files.size_of(file));
      end = file_end;
    }
    record.range::begin = {file.id, begin};
    record.range::end = {file.id, end};
    record.age = record.sequence;
    if (record.op == asio_op::truncate) files.cut(file, record.sequence, record.offset);
    if (traits.ends_number) file.closes = true;
    request_record* const previous = youngest_;
    youngest_ = &record;
    tree_of(record).insert(record);
    if (previous == nullptr || !waits_for_all_before(*previous, record) || previous->range::begin.file != file.id)
      return may_run(record, &interval_tree::find_youngest);
    record.waits_for_all = true;
    append(previous->waiters, record);
    return false;
  }

  /// Removes a request that has finished and calls `unblocked` for each that may run now.
  template <class Unblocked>
  void remove(request_record& record, Unblocked unblocked) noexcept {
    forget(record);
    while (request_record* const waiter = record.waiters.first) {
      leave_list(*waiter);
      if (waiter->waits_for_all || may_run(*waiter, &interval_tree::find_any)) unblocked(*waiter);
    }
  }

  /// Removes a request that has not run and that no other waits for.
  void forget(request_record& record) noexcept {
    tree_of(record).erase(record);
    if (youngest_ == &record) youngest_ = nullptr;
  }

 private:
  static bool can_be_passed(const request_record& record) noexcept {
    return record.traits().is_sync && record.can_be_passed;
  }

  /// Whether it waits also for the syncs that others can pass.
  static bool passes_no_sync(const request_record& record) noexcept {
    return record.traits().is_sync || record.traits().ends_number;
  }

  /// Whether `previous` has to wait for everything of its file that `record` would have to wait for, and `record` for
  /// `previous`.
  static bool waits_for_all_before(const request_record& previous, const request_record& record) noexcept {
    if (!previous.excludes || previous.range::begin.offset != 0 || previous.range::end.offset != file_facts::unlimited)
      return false;
    return passes_no_sync(record) ? passes_no_sync(previous) : !can_be_passed(previous);
  }

  /// Puts the request into the list of one that is in its way, the youngest of those that `find` finds in the trees.
  /// Returns whether there is none.
  bool may_run(request_record& record, range* (interval_tree::*find)(const range&) noexcept) noexcept {
    record.waits_for_all = false;
    range* in_the_way = (excluding_.*find)(record);
    const auto search = [&](interval_tree& tree) {
      range* const other = (tree.*find)(record);
      if (in_the_way == nullptr || (other != nullptr && other->age > in_the_way->age)) in_the_way = other;
    };
    if (record.excludes) search(sharing_);
    if (passes_no_sync(record)) search(passable_);
    if (in_the_way == nullptr) return true;
    append(static_cast<ordering_part*>(in_the_way)->waiters, record);
    return false;
  }

  interval_tree& tree_of(const request_record& record) noexcept {
    if (can_be_passed(record)) return passable_;
    return record.excludes ? excluding_ : sharing_;
  }

  interval_tree excluding_;
  interval_tree sharing_;
  interval_tree passable_;
  request_record* youngest_ = nullptr;  // the last one added, unless it has been removed
};

}  // namespace asioq::detail
