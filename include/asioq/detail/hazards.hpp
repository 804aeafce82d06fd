#pragma once

#include <asioq/detail/file_table.hpp>
#include <asioq/detail/interval_tree.hpp>
#include <asioq/detail/request_block.hpp>

#include <algorithm>
#include <cstdint>

namespace asioq::detail {

/// Finds out which requests must not run at the same time because one could observe the other.
///
/// Each unfinished request stands for a range of bytes of its file, and either excludes everything in that range or
/// writers alone:
/// - a positional read stands for its bytes and excludes writers. If it may reach the end of the file, it stands for
///   everything from there on as well: a write anywhere beyond moves the end, which the read would observe;
/// - a positional write stands for its bytes and excludes all;
/// - fsync, fdatasync, whatever uses the file's position, a write with O_APPEND, and everything on a pipe or a device
///   that is no disk stand for the whole file and exclude all.
///
/// Descriptors of the same file are recognised by device and inode. Ranges are kept in two interval trees, so that to
/// find a request that is in the way takes logarithmic time. A blocked request waits in the list of *one* that is in
/// its way; when that has finished it looks for the next. Not thread-safe.
class hazards {
 public:
  /// Adds a request, younger than all others here. Returns whether it may run; otherwise it is in the list of another.
  /// May throw `std::bad_alloc`; then it has not been added.
  bool add(request_block& block) {
    open_file& file = files_.at(block.fd);
    ++file.users;
    // The first one has no other to compare with. The second makes up for what the first has spared itself.
    if (unexamined_ != nullptr) {
      tree_of(*unexamined_).erase(unexamined_->order);
      open_file& its = files_.at(unexamined_->fd);
      files_.examine(its, unexamined_->is_write());
      insert(*unexamined_, its);
      unexamined_ = nullptr;
    }
    if (count_++ == 0)
      unexamined_ = &block;
    else
      files_.examine(file, block.is_write());
    insert(block, file);
    return may_run(block);
  }

  /// Makes sure that the next `count` calls of `add` do not throw.
  void reserve(std::size_t count) { files_.reserve(count); }

  /// Removes a request that has finished and calls `unblocked` for each that may run now.
  template <class Unblocked>
  void remove(request_block& block, Unblocked unblocked) noexcept {
    if (block.is_write() && block.offset != current_position && block.transferred > 0)
      files_.grow(block.fd, block.offset + block.transferred);
    forget(block);
    while (request_block* waiter = block.order.waiters.front()) {
      block.order.waiters.remove(*waiter);
      if (may_run(*waiter)) unblocked(*waiter);
    }
  }

  /// Removes the youngest request, which has not run: it has never been submitted.
  void forget(request_block& block) noexcept {
    tree_of(block).erase(block.order);
    files_.release(block.fd);
    if (unexamined_ == &block) unexamined_ = nullptr;
    --count_;
  }

 private:
  void insert(request_block& block, const open_file& file) noexcept {
    constexpr std::uint64_t file_end = file_table::unlimited;
    const bool positional =
        block.offset != current_position && !block.is_sync() && !file.is_stream && !(block.is_write() && file.appends);
    std::uint64_t begin = positional ? block.offset : 0;
    std::uint64_t end = positional ? block.offset + block.length : file_end;
    block.order.excludes = !positional || block.is_write();
    if (!block.order.excludes && end > file.size) {
      begin = std::min(begin, file.size);
      end = file_end;
    }
    block.order.begin = {file.id, begin};
    block.order.end = {file.id, end};
    block.order.age = block.sequence;
    block.order.owner = &block;
    tree_of(block).insert(block.order);
  }

  /// Puts the request into the list of one that is in its way, if there is one.
  bool may_run(request_block& block) noexcept {
    const ordering_part& its = block.order;
    interval* in_the_way = excluding_.find_overlap(its.begin, its.end, its.age);
    if (in_the_way == nullptr && its.excludes) in_the_way = sharing_.find_overlap(its.begin, its.end, its.age);
    if (in_the_way == nullptr) return true;
    in_the_way->owner->order.waiters.push_back(block);
    return false;
  }

  interval_tree& tree_of(const request_block& block) noexcept { return block.order.excludes ? excluding_ : sharing_; }

  file_table files_;
  interval_tree excluding_;
  interval_tree sharing_;
  std::size_t count_ = 0;                // requests here
  request_block* unexamined_ = nullptr;  // the only request, if nothing has been asked about its file
};

}  // namespace asioq::detail
