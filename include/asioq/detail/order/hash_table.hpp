#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace asioq::detail {

/// A hash table with open addressing and linear probing. Entries that come and go need no memory, unless more are here
/// at a time than ever before. `reserve` and `erase` may move entries.
///
/// An entry has a `key()`, a static `hash` of a key, and `users`, which is 0 in a free place only. The hash need not
/// spread keys over all values, since the table multiplies it (Fibonacci hashing: Knuth, 1973).
template <class Entry>
class hash_table {
 public:
  /// Makes room for some entries. May throw `std::bad_alloc`.
  hash_table() : places_(8) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Makes room for this many entries. May throw `std::bad_alloc`.
  void reserve(std::size_t count) {
    if (2 * count <= places_.size()) return;
    std::vector<Entry> old(2 * std::bit_ceil(count));
    old.swap(places_);
    shift_ = 64 - std::countr_zero(places_.size());
    for (const Entry& entry : old)
      if (entry.users != 0) places_[place_of(entry.key())] = entry;
  }

  /// The entry with this key; null if there is none.
  template <class Key>
  [[nodiscard]] Entry* find(const Key& key) noexcept {
    Entry& place = places_[place_of(key)];
    return place.users != 0 ? &place : nullptr;
  }

  /// The entry with this key, which is here.
  template <class Key>
  [[nodiscard]] Entry& at(const Key& key) noexcept {
    std::size_t place = first_place_of(key);
    while (!(places_[place].key() == key)) place = wrap(place + 1);
    return places_[place];
  }

  /// Adds an entry with a new key. There has to be room.
  Entry& add(const Entry& entry) noexcept {
    ++size_;
    return places_[place_of(entry.key())] = entry;
  }

  /// Removes an entry. What lies behind it closes the gap, unless it would then lie before its first place.
  void erase(Entry& entry) noexcept {
    --size_;
    auto gap = static_cast<std::size_t>(&entry - places_.data());
    for (std::size_t i = wrap(gap + 1); places_[i].users != 0; i = wrap(i + 1)) {
      if (wrap(i - first_place_of(places_[i].key())) < wrap(i - gap)) continue;
      places_[gap] = places_[i];
      gap = i;
    }
    places_[gap].users = 0;
  }

 private:
  [[nodiscard]] std::size_t wrap(std::size_t place) const noexcept { return place & (places_.size() - 1); }

  template <class Key>
  [[nodiscard]] std::size_t first_place_of(const Key& key) const noexcept {
    return static_cast<std::size_t>((Entry::hash(key) * 0x9e3779b97f4a7c15U) >> shift_);
  }

  /// Where the entry with this key is, or would be added.
  template <class Key>
  [[nodiscard]] std::size_t place_of(const Key& key) const noexcept {
    std::size_t place = first_place_of(key);
    while (places_[place].users != 0 && !(places_[place].key() == key)) place = wrap(place + 1);
    return place;
  }

  std::vector<Entry> places_;  // a power of two in number, at least half of them free
  int shift_ = 61;             // takes a hash to the number of a place
  std::size_t size_ = 0;
};

}  // namespace asioq::detail
