#pragma once

#include <asioq/detail/request/range.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace asioq::detail {

/// A set of ranges that finds, for a given range, one that overlaps it and is older.
///
/// It is a treap (Aragon and Seidel, 1989) ordered by begin. Each node knows the last end and the least and greatest
/// age of its subtree, so a search skips subtrees that cannot have a better answer. The tree is intrusive and allocates
/// nothing.
///
/// A search usually takes expected logarithmic time. It would take longer where short ranges lie among long ones of
/// other ages, since no subtree tells that its old ranges are short and its long ones young. So a search that has seen
/// `patience` nodes makes do with the best that it has met. If none of these overlaps, it is an older range of the same
/// file.
///
/// New ranges stay in a list until the first search moves them into the tree. Nothing searches the tree of the reads
/// while a queue only reads, so each range costs constant time there.
class interval_tree {
 public:
  /// Adds a range that has begin, end and age.
  void insert(range& node) noexcept {
    node.is_listed = true;
    node.left = nullptr;
    node.right = listed_;
    if (listed_ != nullptr) listed_->left = &node;
    listed_ = &node;
  }

  /// Removes a range that was added.
  void erase(range& node) noexcept {
    if (node.is_listed)
      unlist(node);
    else
      erase(root_, node);
  }

  /// The youngest range that overlaps `wanted` and is older than it, or the best that a long search has met. Null if
  /// there is none.
  [[nodiscard]] range* find_youngest(const range& wanted) noexcept {
    return find<&range::age, &range::greatest_age>(wanted);
  }

  /// The same for one that is chosen by its priority, on which its age and its place have no influence.
  [[nodiscard]] range* find_any(const range& wanted) noexcept {
    return find<&range::priority, &range::priority>(wanted);
  }

 private:
  void unlist(range& node) noexcept {
    node.is_listed = false;
    (node.left == nullptr ? listed_ : node.left->right) = node.right;
    if (node.right != nullptr) node.right->left = node.left;
  }

  void plant_listed() noexcept {
    while (listed_ != nullptr) {
      range& node = *listed_;
      unlist(node);
      plant(node);
    }
  }

  void plant(range& node) noexcept {
    node.left = node.right = nullptr;
    node.priority = scramble(node.age);
    update(node);
    range* before = nullptr;
    range* after = nullptr;
    split(root_, node, before, after);
    root_ = merge(merge(before, &node), after);
  }

  /// Spreads ages over all values, so that the tree is balanced in whatever order ranges come. This is splitmix64
  /// (Steele et al., 2014).
  static std::uint64_t scramble(std::uint64_t value) noexcept {
    value += 0x9e3779b97f4a7c15U;
    value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
    return value ^ (value >> 31U);
  }

  static bool is_before(const range& first, const range& second) noexcept {
    return first.begin != second.begin ? first.begin < second.begin : first.age < second.age;
  }

  static void update(range& node) noexcept {
    node.last_end = node.end;
    node.least_age = node.greatest_age = node.age;
    for (const range* child : {node.left, node.right}) {
      if (child == nullptr) continue;
      node.last_end = std::max(node.last_end, child->last_end);
      node.least_age = std::min(node.least_age, child->least_age);
      node.greatest_age = std::max(node.greatest_age, child->greatest_age);
    }
  }

  static void split(range* tree, const range& at, range*& before, range*& after) noexcept {
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

  static range* merge(range* before, range* after) noexcept {
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

  static void erase(range*& tree, const range& node) noexcept {
    if (tree == &node) {
      tree = merge(tree->left, tree->right);
      return;
    }
    erase(is_before(node, *tree) ? tree->left : tree->right, node);
    update(*tree);
  }

  struct answer {
    range* best = nullptr;     // overlaps and is older
    range* instead = nullptr;  // is older
    int seen = 0;              // nodes
  };

  /// What overlaps and is older, with the greatest value. `Bound` of a node is the greatest value in its subtree.
  template <auto Value, auto Bound>
  range* find(const range& wanted) noexcept {
    plant_listed();
    if (root_ == nullptr) return nullptr;
    answer its;
    search<Value, Bound>(root_, wanted, its);
    return its.best == nullptr && its.seen > patience ? its.instead : its.best;
  }

  /// Searches the subtree with the greater bound first, since its answer may make the other needless.
  template <auto Value, auto Bound>
  static void search(range* tree, const range& wanted, answer& its) noexcept {
    if (tree == nullptr || tree->last_end <= wanted.begin || tree->least_age >= wanted.age) return;
    if (its.best != nullptr && tree->*Bound <= its.best->*Value) return;
    if (++its.seen > patience && (its.best != nullptr || its.instead != nullptr)) return;
    const bool begins_before = tree->begin < wanted.end;
    if (begins_before && tree->age < wanted.age) {
      if (wanted.begin < tree->end)
        replace<Value>(its.best, *tree);
      else if (tree->begin.file == wanted.begin.file)
        replace<Value>(its.instead, *tree);
    }
    range* first = tree->left;
    range* second = begins_before ? tree->right : nullptr;
    if (first != nullptr && second != nullptr && first->*Bound < second->*Bound) std::swap(first, second);
    search<Value, Bound>(first, wanted, its);
    search<Value, Bound>(second, wanted, its);
  }

  /// Replaces an answer by a better one.
  template <auto Value>
  static void replace(range*& present, range& other) noexcept {
    if (present == nullptr || other.*Value > present->*Value) present = &other;
  }

  static constexpr int patience = 200;

  range* root_ = nullptr;
  range* listed_ = nullptr;
};

}  // namespace asioq::detail
