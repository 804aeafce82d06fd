#include <asioq/detail/order/hash_table.hpp>

#include "catch.hpp"
#include "counting_new.hpp"
#include "seed.hpp"

#include <cstddef>
#include <cstdint>
#include <map>

using namespace asioq_test;

namespace {

struct counted {
  int its_key = 0;
  std::size_t users = 0;
  int value = 0;

  [[nodiscard]] int key() const noexcept { return its_key; }
  /// Few values, so that entries get into each other's way.
  static std::uint64_t hash(int key) noexcept { return static_cast<std::uint64_t>(key % 7); }
};

}  // namespace

TEST_CASE("the table has what a map has, in whatever order entries come and go", "[hash_table][random]") {
  auto random = random_source();
  std::size_t wrong = 0;
  std::size_t most = 0;
  for (int round = 0; round < 40; ++round) {
    asioq::detail::hash_table<counted> table;
    std::map<int, int> expected;
    const std::size_t keys = 1 + below(random, 80);
    for (int i = 0; i < 500; ++i) {
      const int key = static_cast<int>(below(random, keys)) - 20;
      counted* const found = table.find(key);
      const auto place = expected.find(key);
      wrong += (found != nullptr) == (place != expected.end()) ? 0 : 1;
      if (found == nullptr) {
        table.reserve(table.size() + 1);
        table.add({key, 1, i});
        expected.emplace(key, i);
      } else {
        wrong += &table.at(key) == found && found->value == place->second ? 0 : 1;
        table.erase(*found);
        expected.erase(place);
      }
      for (const auto& [each, value] : expected) {
        const counted* const its = table.find(each);
        wrong += its != nullptr && its->value == value ? 0 : 1;
      }
      wrong += table.size() == expected.size() ? 0 : 1;
      most = std::max(most, table.size());
    }
  }
  CHECK(wrong == 0);
  CHECK(most > 30);
}

TEST_CASE("what comes and goes needs no memory", "[hash_table][allocation]") {
  asioq::detail::hash_table<counted> table;
  for (int i = 0; i < 50; ++i) {
    table.reserve(table.size() + 1);
    table.add({i, 1, i});
  }
  const long before = news;
  for (int i = 50; i < 5000; ++i) {
    table.erase(table.at(i - 50));
    table.reserve(table.size() + 1);
    table.add({i, 1, i});
  }
  CHECK(news - before == 0);
  CHECK(table.size() == 50);
}
