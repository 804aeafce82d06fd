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

/// The same answer by looking at all.
range* youngest_of(const std::vector<range*>& all, const range& wanted) {
  range* best = nullptr;
  for (range* const one : all)
    if (one->age < wanted.age && one->begin < wanted.end && wanted.begin < one->end &&
        (best == nullptr || one->age > best->age))
      best = one;
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
