#include <asioq/detail/order/interval_tree.hpp>

#include "catch.hpp"
#include "seed.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <vector>

using namespace asioq_test;
using asioq::detail::interval_tree;
using asioq::detail::range;

namespace {

range make_range(std::uint64_t file, std::uint64_t begin, std::uint64_t end, std::uint64_t age) {
  range its;
  its.begin = {.file = file, .offset = begin};
  its.end = {.file = file, .offset = end};
  its.age = age;
  return its;
}

bool is_in_the_way(const range& one, const range& wanted) {
  return one.age < wanted.age && one.begin < wanted.end && wanted.begin < one.end;
}

/// The same answer by looking at all.
range* youngest_of(const std::vector<range*>& all, const range& wanted) {
  range* best = nullptr;
  for (range* const one : all)
    if (is_in_the_way(*one, wanted) && (best == nullptr || one->age > best->age)) best = one;
  return best;
}

}  // namespace

TEST_CASE("the tree finds the youngest older overlapping range: as a list would", "[interval_tree][random]") {
  auto random = random_source();
  std::size_t wrong = 0;
  std::size_t found = 0;
  for (int round = 0; round < 60; ++round) {
    interval_tree tree;
    std::deque<range> nodes;
    std::vector<range*> all;
    const std::size_t files = 1 + below(random, 3);
    const std::size_t size = 2 + below(random, 200);
    const std::size_t most = 1 + below(random, size);
    for (std::uint64_t age = 0; age < 300; ++age) {
      const std::size_t begin = below(random, size);
      const std::uint64_t end = below(random, 8) == 0 ? ~std::uint64_t{0} : begin + below(random, most);
      range& node = nodes.emplace_back(make_range(below(random, files), begin, end, age));
      range& asked = below(random, 2) == 0 || all.empty() ? node : *all[below(random, all.size())];
      tree.insert(node);
      all.push_back(&node);
      if (below(random, 3) != 0) {
        range* const answer = tree.find_youngest(asked);
        wrong += answer == youngest_of(all, asked) ? 0 : 1;
        found += answer == nullptr ? 0 : 1;
        range* const any = tree.find_any(asked);
        wrong += (any == nullptr) == (answer == nullptr) ? 0 : 1;
        wrong += any == nullptr || is_in_the_way(*any, asked) ? 0 : 1;
      }
      while (!all.empty() && below(random, 5) < 2) {
        const std::size_t which = below(random, all.size());
        tree.erase(*all[which]);
        all.erase(all.begin() + static_cast<std::ptrdiff_t>(which));
      }
    }
    for (const range* const asked : all) wrong += tree.find_youngest(*asked) == youngest_of(all, *asked) ? 0 : 1;
    for (range* const one : all) tree.erase(*one);
    wrong += tree.find_youngest(make_range(0, 0, ~std::uint64_t{0}, 1000)) == nullptr ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(found > 1000);
}

TEST_CASE("neighbours and empty ranges do not overlap, and files are apart", "[interval_tree]") {
  interval_tree tree;
  range left = make_range(1, 0, 10, 0);
  range right = make_range(1, 20, 30, 1);
  range other = make_range(2, 0, 100, 2);
  for (range* const one : {&left, &right, &other}) tree.insert(*one);
  CHECK(tree.find_youngest(make_range(1, 10, 20, 9)) == nullptr);
  CHECK(tree.find_youngest(make_range(1, 10, 21, 9)) == &right);
  CHECK(tree.find_youngest(make_range(1, 9, 20, 9)) == &left);
  CHECK(tree.find_youngest(make_range(1, 0, 100, 1)) == &left);  // not itself, nor what is younger
  CHECK(tree.find_youngest(make_range(2, 100, 200, 9)) == nullptr);
  CHECK(tree.find_youngest(make_range(3, 0, 200, 9)) == nullptr);
}

TEST_CASE("a range that waits for any of many meets few of them, in whatever order they go", "[interval_tree]") {
  constexpr std::uint64_t count = 4000;
  for (const std::uint64_t step : {std::uint64_t{1}, count - 1, std::uint64_t{1237}}) {  // from one to the next to go
    std::deque<range> nodes;
    interval_tree tree;
    for (std::uint64_t i = 0; i < count; ++i) tree.insert(nodes.emplace_back(make_range(1, i, i + 1, i)));
    const range all = make_range(1, 0, count, count);
    std::size_t looks = 1;
    const range* met = tree.find_any(all);
    std::uint64_t next = 0;
    for (std::uint64_t i = 0; i < count; ++i, next = (next + step) % count) {
      tree.erase(nodes[next]);
      if (met != &nodes[next]) continue;
      met = tree.find_any(all);
      ++looks;
    }
    CHECK(met == nullptr);
    CHECK(looks < 40);
  }
}

TEST_CASE("where a search would take long, its answer is older and of the same file", "[interval_tree]") {
  constexpr std::uint64_t count = 3000;
  std::deque<range> nodes;
  interval_tree tree;
  for (std::uint64_t i = 0; i < count; ++i) tree.insert(nodes.emplace_back(make_range(1, 4 * i, 4 * i + 1, i)));
  for (std::uint64_t i = 0; i < count; ++i)  // young, and long
    tree.insert(nodes.emplace_back(make_range(1, 4 * i + 2, 8 * count, count + 1 + i)));
  range wanted = make_range(1, 4 * count - 1, 4 * count, count);  // none is in its way
  tree.insert(wanted);
  std::size_t wrong = 0;
  std::size_t looks = 0;
  for (;;) {
    range* const any = tree.find_any(wanted);
    if (any == nullptr) break;
    ++looks;
    wrong += any->age < wanted.age && any->begin.file == 1 ? 0 : 1;
    tree.erase(*any);
    if (wrong > 0) break;
  }
  CHECK(wrong == 0);
  CHECK(looks > 0);
  range other = make_range(2, 4 * count, 4 * count + 1, count);
  tree.insert(other);
  CHECK(tree.find_any(other) == nullptr);
}
