#include <asioq/huge_page_resource.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <new>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"

using asioq::buffer_alignment;
using asioq::huge_page_resource;

namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20U;

std::uintptr_t address_of(const void* place) { return reinterpret_cast<std::uintptr_t>(place); }

std::byte* allocate(huge_page_resource& pages, std::size_t size, std::size_t alignment = buffer_alignment) {
  return static_cast<std::byte*>(pages.allocate(size, alignment));
}

}  // namespace

TEST_CASE("buffers share huge pages, one after the other", "[huge_page_resource]") {
  huge_page_resource pages;
  const std::byte* const first = allocate(pages, 65536);
  CHECK(address_of(first) % huge_page == 0);
  for (std::size_t i = 1; i < 40; ++i) CHECK(allocate(pages, 65536) == first + i * 65536);
}

TEST_CASE("allocations are aligned and do not overlap", "[huge_page_resource]") {
  huge_page_resource pages;
  std::vector<std::pair<std::byte*, std::size_t>> all;
  for (const std::size_t size : {std::size_t{4096}, std::size_t{1}, std::size_t{20480}, huge_page, 3 * huge_page + 4096,
                                 std::size_t{5000}, 40 * huge_page, std::size_t{4096}})
    for (const std::size_t alignment : {buffer_alignment, std::size_t{65536}, 2 * huge_page}) {
      std::byte* const place = allocate(pages, size, alignment);
      CHECK(address_of(place) % alignment == 0);
      place[0] = place[size - 1] = std::byte{1};
      all.emplace_back(place, size);
    }
  std::ranges::sort(all);
  for (std::size_t i = 1; i < all.size(); ++i) CHECK(all[i - 1].first + all[i - 1].second <= all[i].first);
}

TEST_CASE("deallocated memory is reused for the same size", "[huge_page_resource]") {
  huge_page_resource pages;
  std::set<void*> places;
  for (int i = 0; i < 3; ++i) places.insert(pages.allocate(65536, buffer_alignment));
  std::byte* const other = allocate(pages, 4096);
  for (void* const place : places) pages.deallocate(place, 65536, buffer_alignment);
  pages.deallocate(other, 4096, buffer_alignment);
  for (int i = 0; i < 3; ++i) CHECK(places.erase(pages.allocate(65536, buffer_alignment)) == 1);
  CHECK(pages.allocate(4096, buffer_alignment) == other);
}

TEST_CASE("small objects are not in the pages", "[huge_page_resource]") {
  huge_page_resource pages;
  std::byte* const buffer = allocate(pages, 4096);
  void* const small = pages.allocate(100, 64);
  CHECK(address_of(small) % 64 == 0);
  CHECK(allocate(pages, 4096) == buffer + 4096);
  pages.deallocate(small, 100, 64);
}

TEST_CASE("an allocation that is too large throws bad_alloc and changes nothing", "[huge_page_resource]") {
  huge_page_resource pages;
  const std::byte* const first = allocate(pages, 4096);
  for (const std::size_t size : {std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() / 8})
    CHECK_THROWS_AS(pages.allocate(size, buffer_alignment), std::bad_alloc);
  CHECK_THROWS_AS(pages.allocate(4096, std::size_t{1} << 32U), std::bad_alloc);
  CHECK(allocate(pages, 4096) == first + 4096);
}

TEST_CASE("each resource is equal only to itself", "[huge_page_resource]") {
  const huge_page_resource one;
  const huge_page_resource other;
  CHECK(one.is_equal(one));
  CHECK_FALSE(one.is_equal(other));
}

TEST_CASE("threads allocate and deallocate at the same time", "[huge_page_resource]") {
  huge_page_resource pages;
  std::array<bool, 4> is_right{};
  std::vector<std::jthread> threads;
  for (std::size_t mine = 0; mine < is_right.size(); ++mine)
    threads.emplace_back([&pages, mine, &right = is_right[mine]] {
      right = true;
      for (int round = 0; round < 200; ++round) {
        std::array<std::byte*, 8> held{};
        for (std::size_t i = 0; i < held.size(); ++i) {
          held[i] = allocate(pages, std::size_t{4096} << (i % 3));
          std::memset(held[i], static_cast<int>(mine * 8 + i), 4096);
        }
        for (std::size_t i = 0; i < held.size(); ++i) {
          right = right && std::all_of(held[i], held[i] + 4096,
                                       [&](std::byte its) { return its == static_cast<std::byte>(mine * 8 + i); });
          pages.deallocate(held[i], std::size_t{4096} << (i % 3), buffer_alignment);
        }
      }
    });
  threads.clear();
  CHECK(is_right == std::array<bool, 4>{true, true, true, true});
}
