#pragma once

#include <asioq/detail/order/hash_table.hpp>
#include <asioq/detail/transfer/merging.hpp>
#include <asioq/file_facts.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace asioq::detail {

/// What is known of a descriptor while unfinished requests name it. The caller keeps the descriptor open that long, so
/// this cannot go stale. The table forgets it with the last such request, since the number may then mean another file.
struct open_file {
  int fd = -1;
  std::size_t users = 0;          // unfinished requests that name it
  std::uint64_t id = 0;           // once the facts are known, the same for descriptors of the same file
  std::uint64_t entry = 0;        // unique: tells this entry from a later one for the same number
  bool is_known = false;          // `facts`
  bool merging_is_known = false;  // `merges`
  bool is_unanswered = false;     // the kernel does not tell the facts
  bool closes = false;            // a classified request will close it: what comes later may mean another file
  file_facts facts;               // as found: for the size see `file_table::size_of`
  merging merges;

  [[nodiscard]] int key() const noexcept { return fd; }
  static std::uint64_t hash(int fd) noexcept { return static_cast<std::uint64_t>(fd); }
};

/// What all known descriptors of a file share.
struct known_file {
  file_identity identity{};
  std::size_t users = 0;  // descriptors
  std::uint64_t id = 0;
  std::uint64_t size = 0;         // at least
  std::uint64_t sized_after = 0;  // sequence of the last truncate: it may have cut off what older requests wrote

  [[nodiscard]] const file_identity& key() const noexcept { return identity; }
  static std::uint64_t hash(const file_identity& its) noexcept {
    constexpr std::uint64_t factor = 0xbf58476d1ce4e5b9U;
    return ((its.volume * factor) ^ its.generation) * factor ^ its.file;
  }
};

/// The files of the unfinished requests, by descriptor and by identity. It never asks for facts: its user brings them.
/// All calls take constant time, however many files there are.
class file_table {
 public:
  /// Makes room for some files, so that what a program needs once warm does not depend on its threads. May throw
  /// `std::bad_alloc`.
  file_table() = default;

  /// The entry of a descriptor, which one more unfinished request names. Makes the entry if there is none. May throw
  /// `std::bad_alloc`.
  open_file& use(int fd) {
    if (open_file* const used = open_.find(fd)) {
      ++used->users;
      return *used;
    }
    open_.reserve(open_.size() + 1);
    known_.reserve(open_.size() + 1);  // `learn` must not fail
    ++entries_;
    return open_.add({.fd = fd, .users = 1, .entry = entries_, .facts = {}, .merges = {}});
  }

  /// The entry of a descriptor that is in use.
  [[nodiscard]] open_file& at(int fd) noexcept { return open_.at(fd); }

  /// The entry, if it is still there; null if not.
  [[nodiscard]] open_file* find_entry(int fd, std::uint64_t entry) noexcept {
    open_file* const found = open_.find(fd);
    return found != nullptr && found->entry == entry ? found : nullptr;
  }

  /// Takes in the facts of a descriptor, which were not known.
  void learn(open_file& file, const file_facts& facts) noexcept {
    file.facts = facts;
    file.is_known = true;
    file.id = file.entry;
    if (known_file* const same = known_.find(facts.identity)) {
      // Its size is the better one: these facts may be older than a truncate.
      file.id = same->id;
      ++same->users;
    } else {
      known_.add({facts.identity, 1, file.id, facts.size, cut_any_.sequence});
    }
  }

  /// The bytes that the file, which is known, has at least.
  [[nodiscard]] std::uint64_t size_of(const open_file& file) noexcept { return known(file).size; }

  /// The request with this sequence has written the file up to `end`.
  void grow(const open_file& file, std::uint64_t sequence, std::uint64_t end) noexcept {
    known_file& its = known(file);
    if (sequence >= its.sized_after && !file.facts.appends) its.size = std::max(its.size, end);
  }

  /// The request with this sequence, younger than all so far, may cut the file off at `size`.
  void cut(const open_file& file, std::uint64_t sequence, std::uint64_t size) noexcept {
    cut(known(file), {sequence, size});
  }

  /// The same where the file is not known: it may be any of these.
  void cut_any(std::uint64_t sequence, std::uint64_t size) noexcept {
    // Some of these may have become known only after the last such cut. They get a smaller size than they might: it
    // still is a lower bound.
    cut_any_ = {sequence, known_.size() == 0 ? size : std::min(size, cut_any_.size)};
  }

  /// The descriptor has been closed. Requests that still name the number mean another file, or none.
  void forget(int fd) noexcept {
    open_file* const closed = open_.find(fd);
    if (closed == nullptr) return;
    leave(*closed);
    ++entries_;
    *closed = {.fd = fd, .users = closed->users, .entry = entries_, .facts = {}, .merges = {}};
  }

  /// One unfinished request fewer names the descriptor.
  void release(int fd) noexcept {
    open_file& file = at(fd);
    if (--file.users != 0) return;
    leave(file);
    open_.erase(file);
  }

 private:
  /// A truncate.
  struct cutting {
    std::uint64_t sequence = 0;
    std::uint64_t size = file_facts::unlimited;
  };

  static void cut(known_file& its, const cutting& truncate) noexcept {
    its.sized_after = truncate.sequence;
    its.size = std::min(its.size, truncate.size);
  }

  [[nodiscard]] known_file& known(const open_file& file) noexcept {
    known_file& its = known_.at(file.facts.identity);
    if (its.sized_after < cut_any_.sequence) cut(its, cut_any_);
    return its;
  }

  /// One known descriptor fewer.
  void leave(const open_file& file) noexcept {
    if (!file.is_known) return;
    known_file& its = known_.at(file.facts.identity);
    if (--its.users == 0) known_.erase(its);
  }

  hash_table<open_file> open_;
  hash_table<known_file> known_;
  cutting cut_any_;            // the last truncate of a file that was not known; it applies to files known since before
  std::uint64_t entries_ = 0;  // ever made
};

}  // namespace asioq::detail
