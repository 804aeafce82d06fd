#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>

namespace asioq::detail {

struct request_block;

/// A place in a file; places of different files are ordered too, so that one tree can hold the ranges of all files.
struct file_place {
  std::uint64_t file = 0;
  std::uint64_t offset = 0;

  auto operator<=>(const file_place&) const = default;
};

/// A range of bytes of one file in an `interval_tree`, together with its links there.
struct interval {
  file_place begin;
  file_place end;         // one past the last byte
  std::uint64_t age = 0;  // unique; the oldest has the least
  request_block* owner = nullptr;

  // The tree's: the roots of the subtrees of earlier and later ranges, and what is known of all ranges in it. Of a
  // range that is in the list only: its neighbours there.
  interval* left = nullptr;
  interval* right = nullptr;
  bool is_listed = false;
  std::uint64_t priority = 0;
  file_place last_end;
  std::uint64_t least_age = 0;
};

/// A set of ranges that finds one which overlaps a given range and is older than a given age, in expected logarithmic
/// time. It is a treap (Aragon and Seidel, 1989) ordered by begin, each node knowing the last end and the least age
/// of its subtree. Intrusive: nothing is allocated.
///
/// New ranges are in a list at first: they go into the tree when something is looked for, which among reads alone is
/// never.
class interval_tree {
 public:
  /// Adds a range that has begin, end and age.
  void insert(interval& range) noexcept {
    range.is_listed = true;
    range.left = nullptr;
    range.right = listed_;
    if (listed_ != nullptr) listed_->left = &range;
    listed_ = &range;
  }

  /// Removes a range that was added.
  void erase(interval& range) noexcept {
    if (range.is_listed)
      unlist(range);
    else
      erase(root_, range);
  }

  /// A range that overlaps [begin, end) and is older than `age`; null if there is none.
  [[nodiscard]] interval* find_overlap(const file_place& begin, const file_place& end, std::uint64_t age) noexcept {
    while (listed_ != nullptr) {
      interval& range = *listed_;
      unlist(range);
      plant(range);
    }
    return find_overlap(root_, begin, end, age);
  }

 private:
  void unlist(interval& range) noexcept {
    range.is_listed = false;
    (range.left == nullptr ? listed_ : range.left->right) = range.right;
    if (range.right != nullptr) range.right->left = range.left;
  }

  void plant(interval& range) noexcept {
    range.left = range.right = nullptr;
    range.priority = scramble(range.age);
    update(range);
    interval* before = nullptr;
    interval* after = nullptr;
    split(root_, range, before, after);
    root_ = merge(merge(before, &range), after);
  }

  /// Spreads ages over all values, so that the tree is balanced whatever the order: splitmix64 (Steele et
  /// al., 2014).
  static std::uint64_t scramble(std::uint64_t value) noexcept {
    value += 0x9e3779b97f4a7c15U;
    value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
    return value ^ (value >> 31U);
  }

  static bool is_before(const interval& first, const interval& second) noexcept {
    return first.begin != second.begin ? first.begin < second.begin : first.age < second.age;
  }

  static void update(interval& node) noexcept {
    node.last_end = node.end;
    node.least_age = node.age;
    for (const interval* child : {node.left, node.right}) {
      if (child == nullptr) continue;
      node.last_end = std::max(node.last_end, child->last_end);
      node.least_age = std::min(node.least_age, child->least_age);
    }
  }

  static void split(interval* tree, const interval& at, interval*& before, interval*& after) noexcept {
    if (tree == nullptr) {
      before = after = nullptr;
      return;
    }
    if (is_before(*tree, at)) {
      split(tree->right, at, tree->right, after);
      before = tree;
    } else {
      split(tree->left, at, before, tree->left);
      after = tree;
    }
    update(*tree);
  }

  static interval* merge(interval* before, interval* after) noexcept {
    if (before == nullptr) return after;
    if (after == nullptr) return before;
    if (before->priority > after->priority) {
      before->right = merge(before->right, after);
      update(*before);
      return before;
    }
    after->left = merge(before, after->left);
    update(*after);
    return after;
  }

  static void erase(interval*& tree, const interval& range) noexcept {
    if (tree == &range) {
      tree = merge(tree->left, tree->right);
      return;
    }
    erase(is_before(range, *tree) ? tree->left : tree->right, range);
    update(*tree);
  }

  static interval* find_overlap(interval* tree, const file_place& begin, const file_place& end,
                                std::uint64_t age) noexcept {
    if (tree == nullptr || tree->last_end <= begin || tree->least_age >= age) return nullptr;
    if (interval* found = find_overlap(tree->left, begin, end, age)) return found;
    if (tree->begin >= end) return nullptr;
    if (begin < tree->end && tree->age < age) return tree;
    return find_overlap(tree->right, begin, end, age);
  }

  interval* root_ = nullptr;
  interval* listed_ = nullptr;
};

}  // namespace asioq::detail
