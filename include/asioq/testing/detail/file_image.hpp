#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace asioq::testing::detail {

/// The contents of one file as they are read (live) and as a power cut leaves them at least (durable), by sectors.
///
/// Each change has a version. A sync takes what is dirty when it begins, and makes that durable when it ends, unless
/// the sector has a younger durable version by then. So it covers what was written before it began and nothing more.
class file_image {
 public:
  using bytes = std::vector<std::byte>;

  /// What a sync has found when it began.
  struct dirty_state {
    struct part {
      std::uint64_t index;
      std::uint64_t version;
      bytes content;
    };
    std::vector<part> parts;
    std::uint64_t size = 0;
    std::uint64_t size_version = 0;  // 0 if the size is not dirty
  };

  /// What a power cut has done.
  struct damage {
    std::size_t open = 0;  // sectors that could keep either content
    std::size_t kept = 0;  // those of them that have the new one
    std::uint64_t size_before = 0;
  };

  explicit file_image(std::size_t sector_size) : sector_size_(sector_size) {}

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// How many sectors have a place on the disk.
  [[nodiscard]] std::uint64_t reserved() const noexcept { return reserved_; }
  /// Whether a sync has made it durable that there is this file.
  [[nodiscard]] bool is_durable() const noexcept { return is_durable_; }

  /// Returns how many bytes there were.
  [[nodiscard]] std::size_t read(std::uint64_t offset, std::span<std::byte> target) const {
    if (offset >= size_) return 0;
    target = target.first(static_cast<std::size_t>(std::min<std::uint64_t>(target.size(), size_ - offset)));
    copy_out(offset, target, [](const sector& its) -> const bytes& { return its.live; });
    return target.size();
  }

  /// Writes all of it.
  void write(std::uint64_t offset, std::span<const std::byte> source) {
    for (std::uint64_t place = offset; !source.empty();) {
      const auto begin = static_cast<std::size_t>(place % sector_size_);
      const std::size_t count = std::min(source.size(), sector_size_ - begin);
      sector& its = sectors_[place / sector_size_];
      its.live.resize(sector_size_);
      std::ranges::copy(source.first(count), std::next(its.live.begin(), static_cast<std::ptrdiff_t>(begin)));
      its.written = ++version_;
      reserve(its);
      place += count;
      source = source.subspan(count);
      grow(place);
    }
  }

  /// How many bytes from `offset` on, `length` at most, have room if so many sectors of the disk are free.
  [[nodiscard]] std::uint64_t room(std::uint64_t offset, std::uint64_t length, std::uint64_t free) const {
    const std::uint64_t end = offset + length;
    for (std::uint64_t place = offset; place < end; place = (place / sector_size_ + 1) * sector_size_) {
      const auto its = sectors_.find(place / sector_size_);
      if (its != sectors_.end() && its->second.is_reserved) continue;
      if (free-- == 0) return place - offset;
    }
    return length;
  }

  /// Gives every sector of the range a place on the disk; the file is at least that long then.
  void allocate(std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t end = offset + length;
    for (std::uint64_t index = offset / sector_size_; index * sector_size_ < end; ++index) reserve(sectors_[index]);
    grow(end);
  }

  /// What is beyond is cut off, what is missing reads as zeros.
  void resize(std::uint64_t size) {
    for (auto at = sectors_.lower_bound(size / sector_size_); at != sectors_.end(); ++at) {
      sector& its = at->second;
      cut(its.live, at->first, size);
      its.written = ++version_;
      if (at->first * sector_size_ >= size && std::exchange(its.is_reserved, false)) --reserved_;
    }
    set_size(size);
  }

  /// For a sync that begins.
  [[nodiscard]] dirty_state dirty() const {
    dirty_state found{.parts = {}, .size = size_, .size_version = size_version_ > size_covered_ ? size_version_ : 0};
    for (const auto& [index, its] : sectors_)
      if (its.written > its.covered) found.parts.push_back({index, its.written, its.live});
    return found;
  }

  /// A sync ends: `reaches()` says, for one part after the other, whether it is on the medium. What is not is lost: no
  /// later sync takes care of it unless it is written again.
  template <class Reaches>
  void commit(dirty_state found, Reaches reaches) {
    if (found.size_version > size_synced_ && reaches()) {
      durable_size_ = found.size;
      size_synced_ = found.size_version;
      for (auto at = sectors_.lower_bound(found.size / sector_size_); at != sectors_.end(); ++at)
        cut(at->second.durable, at->first, found.size);
    }
    size_covered_ = std::max(size_covered_, found.size_version);
    for (dirty_state::part& part : found.parts) {
      sector& its = sectors_[part.index];
      if (part.version > its.synced && reaches()) {
        its.durable = std::move(part.content);
        its.synced = part.version;
      }
      its.covered = std::max(its.covered, part.version);
    }
    is_durable_ = is_durable_ || reaches();
  }

  /// The power fails: `keeps_new()` says, for the size and then for each sector that is dirty, whether the medium has
  /// its new state.
  ///
  /// As with a journal, a size that is kept from before a truncate means that the truncate has not happened: what it
  /// has cut off is the old content, too. Beyond the size there is nothing.
  template <class KeepsNew>
  damage crash(KeepsNew keeps_new) {
    damage done{.size_before = size_};
    const std::uint64_t size = size_version_ > size_covered_ && keeps_new() ? size_ : durable_size_;
    for (auto& [index, its] : sectors_) {
      const bool is_open = its.written > its.covered;
      const bool is_new = is_open && keeps_new() && (size <= size_ || (index + 1) * sector_size_ <= size_);
      if (!is_new) its.live = its.durable;
      cut(its.live, index, size);
      its.durable = its.live;
      its.written = its.covered = its.synced = 0;
      done.open += is_open ? 1 : 0;
      done.kept += is_new ? 1 : 0;
    }
    std::erase_if(sectors_, [&](const auto& entry) { return entry.first * sector_size_ >= size; });
    reserved_ = 0;
    for (auto& [index, its] : sectors_) {
      its.is_reserved = its.is_reserved || !its.live.empty();
      reserved_ += its.is_reserved ? 1 : 0;
    }
    size_ = durable_size_ = size;
    size_version_ = size_covered_ = size_synced_ = 0;
    is_durable_ = true;
    return done;
  }

  /// What a program reads.
  [[nodiscard]] bytes contents() const {
    return all(size_, [](const sector& its) -> const bytes& { return its.live; });
  }

  /// What is there if a power cut keeps nothing that is not durable.
  [[nodiscard]] bytes durable() const {
    return all(durable_size_, [](const sector& its) -> const bytes& { return its.durable; });
  }

 private:
  struct sector {
    bytes live;                 // empty means zeros
    bytes durable;              // the same
    std::uint64_t written = 0;  // the version of `live`
    std::uint64_t covered = 0;  // the last version that a sync has taken care of, or has lost
    std::uint64_t synced = 0;   // the version of `durable`
    bool is_reserved = false;   // has a place on the disk
  };

  void reserve(sector& its) noexcept {
    if (!std::exchange(its.is_reserved, true)) ++reserved_;
  }

  /// A size that a failed sync has lost is dirty again once something is written beyond the durable one.
  void grow(std::uint64_t end) noexcept {
    if (end > size_)
      set_size(end);
    else if (end > durable_size_)
      size_version_ = ++version_;
  }

  void set_size(std::uint64_t size) noexcept {
    size_ = size;
    size_version_ = ++version_;
  }

  /// Leaves nothing of a sector's content from `size` on.
  void cut(bytes& content, std::uint64_t index, std::uint64_t size) const noexcept {
    const std::uint64_t begin = index * sector_size_;
    if (begin >= size) {
      content.clear();
    } else if (!content.empty() && size - begin < sector_size_) {
      std::fill(std::next(content.begin(), static_cast<std::ptrdiff_t>(size - begin)), content.end(), std::byte{0});
    }
  }

  template <class Which>
  void copy_out(std::uint64_t offset, std::span<std::byte> target, Which which) const {
    std::ranges::fill(target, std::byte{0});
    const std::uint64_t end = offset + target.size();
    for (auto at = sectors_.lower_bound(offset / sector_size_); at != sectors_.end(); ++at) {
      const std::uint64_t begin = at->first * sector_size_;
      if (begin >= end) return;
      const bytes& content = which(at->second);
      if (content.empty()) continue;
      const std::uint64_t first = std::max(begin, offset);
      const std::uint64_t last = std::min(begin + sector_size_, end);
      std::copy(std::next(content.begin(), static_cast<std::ptrdiff_t>(first - begin)),
                std::next(content.begin(), static_cast<std::ptrdiff_t>(last - begin)),
                std::next(target.begin(), static_cast<std::ptrdiff_t>(first - offset)));
    }
  }

  template <class Which>
  [[nodiscard]] bytes all(std::uint64_t size, Which which) const {
    bytes result(static_cast<std::size_t>(size));
    copy_out(0, result, which);
    return result;
  }

  std::size_t sector_size_;
  std::map<std::uint64_t, sector> sectors_;  // those that have ever been written or allocated
  std::uint64_t reserved_ = 0;
  std::uint64_t version_ = 0;  // of the last change
  std::uint64_t size_ = 0;
  std::uint64_t durable_size_ = 0;
  std::uint64_t size_version_ = 0;  // as `written`, `covered` and `synced` of a sector
  std::uint64_t size_covered_ = 0;
  std::uint64_t size_synced_ = 0;
  bool is_durable_ = false;
};

}  // namespace asioq::testing::detail
