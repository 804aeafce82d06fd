#pragma once

#include <asioq/detail/transfer/merging.hpp>
#include <asioq/file_facts.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

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
  bool closes = false;            // a classified request will close it: what comes later may mean another file
  file_facts facts;
  std::uint64_t sized_after = 0;  // a truncate had this sequence: what older requests wrote may have been cut off
  merging merges;
};

/// The files of the unfinished requests, by descriptor. It never asks for facts: its user brings them.
class file_table {
 public:
  /// Makes room for some files, so that what a program needs once warm does not depend on its threads. May throw
  /// `std::bad_alloc`.
  file_table() { files_.reserve(4); }

  /// The entry of a descriptor, which one more unfinished request names. Makes the entry if there is none. May throw
  /// `std::bad_alloc`.
  open_file& use(int fd) {
    const auto place = find(fd);
    if (place != files_.end() && place->fd == fd) {
      ++place->users;
      return *place;
    }
    ++entries_;
    return *files_.insert(
        place, open_file{.fd = fd, .users = 1, .id = entries_, .entry = entries_, .facts = {}, .merges = {}});
  }

  /// The entry of a descriptor that is in use.
  [[nodiscard]] open_file& at(int fd) noexcept { return *find(fd); }

  /// The entry, if it is still there; null if not.
  [[nodiscard]] open_file* find_entry(int fd, std::uint64_t entry) noexcept {
    const auto place = find(fd);
    return place != files_.end() && place->fd == fd && place->entry == entry ? &*place : nullptr;
  }

  /// Takes in the facts of a descriptor.
  void learn(open_file& file, const file_facts& facts) noexcept {
    file.facts = facts;
    file.is_known = true;
    const auto same = std::ranges::find_if(files_, [&](const open_file& other) {
      return &other != &file && other.is_known && other.facts.identity == facts.identity;
    });
    if (same == files_.end()) return;
    file.id = same->id;
    file.sized_after = same->sized_after;
    file.facts.size = std::min(file.facts.size, same->facts.size);
  }

  /// The request with this sequence has written the file up to `end`.
  void grow(open_file& file, std::uint64_t sequence, std::uint64_t end) noexcept {
    if (sequence >= file.sized_after && !file.facts.appends) file.facts.size = std::max(file.facts.size, end);
  }

  /// The request with this sequence, younger than all so far, may cut the file off at `size`.
  void cut(const open_file& file, std::uint64_t sequence, std::uint64_t size) noexcept {
    for (open_file& other : files_) {
      if (other.id != file.id) continue;
      other.sized_after = sequence;
      other.facts.size = std::min(other.facts.size, size);
    }
  }

  /// The same where the file is not known: it may be any of these.
  void cut_any(std::uint64_t sequence, std::uint64_t size) noexcept {
    for (open_file& other : files_) {
      other.sized_after = sequence;
      other.facts.size = std::min(other.facts.size, size);
    }
  }

  /// The descriptor has been closed. Requests that still name the number mean another file, or none.
  void forget(int fd) noexcept {
    const auto place = find(fd);
    if (place == files_.end() || place->fd != fd) return;
    ++entries_;
    *place = {.fd = fd, .users = place->users, .id = entries_, .entry = entries_, .facts = {}, .merges = {}};
  }

  /// One unfinished request fewer names the descriptor.
  void release(int fd) noexcept {
    const auto place = find(fd);
    if (--place->users == 0) files_.erase(place);
  }

 private:
  std::vector<open_file>::iterator find(int fd) noexcept {
    return std::ranges::lower_bound(files_, fd, {}, &open_file::fd);
  }

  std::vector<open_file> files_;  // sorted by fd
  std::uint64_t entries_ = 0;     // ever made
};

}  // namespace asioq::detail
