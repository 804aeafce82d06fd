#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/io_operation.hpp>
#include <asioq/operation.hpp>
#include <asioq/testing/detail/file_image.hpp>
#include <asioq/testing/detail/generator.hpp>
#include <asioq/testing/disk_options.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asioq::testing::detail {

/// A file of a simulated disk.
struct disk_file {
  std::string name;
  std::uint64_t number;  // never used again
  file_image image;
};

/// What a descriptor means.
struct description {
  std::shared_ptr<disk_file> file;
  std::uint64_t position = 0;
  bool appends = false;
};

/// The files of a simulated disk, their descriptors, and what each operation does to them. It knows nothing of time,
/// and of faults only the bad sectors and the disk's end.
class disk_files {
 public:
  disk_files(std::size_t sector_size, std::uint64_t capacity, std::size_t alignment = 1)
      : sector_size_(sector_size), capacity_(capacity / std::max<std::size_t>(sector_size, 1)), alignment_(alignment) {}

  /// The lowest number that is free, as open(2) has it; -1 if there is no such file and it is not to be created.
  int open(std::string_view name, bool appends, bool creates) {
    auto its = files_.find(name);
    if (its == files_.end()) {
      if (!creates) return -1;
      auto made = std::make_shared<disk_file>(disk_file{std::string(name), numbers_ + 1, file_image(sector_size_)});
      its = files_.emplace(made->name, made).first;
      ++numbers_;
    }
    auto opened = std::make_shared<description>(description{.file = its->second, .appends = appends});
    int fd = first_;
    for (const auto& [taken, unused] : descriptors_) {
      if (taken != fd) break;
      ++fd;
    }
    descriptors_.emplace(fd, std::move(opened));
    next_ = std::max(next_, fd + 1);
    return fd;
  }

  /// Returns whether there was such a descriptor.
  bool close(int fd) noexcept { return descriptors_.erase(fd) != 0; }

  /// What a number means; null if nothing.
  [[nodiscard]] std::shared_ptr<description> find(int fd) const noexcept {
    const auto its = descriptors_.find(fd);
    return its == descriptors_.end() ? nullptr : its->second;
  }

  /// The file with this name; null if there is none.
  [[nodiscard]] const disk_file* named(std::string_view name) const noexcept {
    const auto its = files_.find(name);
    return its == files_.end() ? nullptr : its->second.get();
  }

  /// See `io_executor`.
  [[nodiscard]] file_facts describe(int fd) const noexcept {
    const std::shared_ptr<description> its = find(fd);
    if (its == nullptr) return {.is_stream = true};
    return {.identity = {.volume = 1, .file = its->file->number, .generation = boots_},
            .is_stream = false,
            .appends = its->appends,
            .size = its->file->image.size(),
            .alignment = alignment_};
  }

  void add(bad_sector bad) { bad_sectors_.push_back(std::move(bad)); }
  void heal() noexcept { bad_sectors_.clear(); }

  /// Where the transfer of an operation begins.
  [[nodiscard]] static std::uint64_t place_of(const io_operation& operation, const description& its) noexcept {
    if (its.appends && operation.op() != asio_op::read) return its.file->image.size();
    return operation.offset() == current_position ? its.position : operation.offset();
  }

  /// Whether the system would refuse the operation's numbers.
  [[nodiscard]] static bool is_misuse(const io_operation& operation) noexcept {
    const asio_op op = operation.op();
    if (op == asio_op::allocate && operation.length() == 0) return true;
    if (op == asio_op::close || traits_of(op).is_sync) return false;
    const bool at_position = traits_of(op).transfers && operation.offset() == current_position;
    const std::uint64_t offset = at_position ? 0 : operation.offset();
    return offset > largest || (op != asio_op::truncate && operation.length() > largest - offset);
  }

  /// Carries out the operation on what its descriptor meant when it was started; of a transfer, the first `length`
  /// bytes. Returns as `io_operation::complete` takes it. Neither for syncs, which are the device's, nor for close.
  std::int64_t carry_out(const io_operation& operation, description& its, std::uint64_t length) noexcept {
    if (is_misuse(operation)) return -EINVAL;
    try {
      if (operation.op() == asio_op::allocate) return allocate(its.file->image, operation.offset(), length);
      if (operation.op() == asio_op::truncate) {
        its.file->image.resize(operation.offset());
        return 0;
      }
      if (traits_of(operation.op()).transfers) return transfer(operation, its, length);
      return -EOPNOTSUPP;
    } catch (const std::bad_alloc&) {
      return -ENOMEM;
    }
  }

  /// The power fails while an operation is in flight: each of its sectors may have been written, or none of them.
  void cut_off(const io_operation& operation, description& its, generator& random) {
    file_image& image = its.file->image;
    if (is_misuse(operation)) return;
    if (!traits_of(operation.op()).transfers) {
      if (traits_of(operation.op()).writes && random.happens(0.5)) carry_out(operation, its, operation.length());
      return;
    }
    if (operation.op() == asio_op::read) return;
    const std::uint64_t place = place_of(operation, its);
    std::span<const std::byte> rest = operation.buffer();
    if (place > largest - rest.size() || image.room(place, rest.size(), free_sectors()) < rest.size()) return;
    // A size that has grown has done so for the whole of the write, or not at all.
    const std::uint64_t end = place + rest.size();
    const std::uint64_t limit = random.happens(0.5) ? end : std::min(end, image.size());
    if (limit <= place) return;
    rest = rest.first(static_cast<std::size_t>(limit - place));
    for (std::uint64_t at = place; !rest.empty();) {
      const std::size_t count = std::min(rest.size(), sector_size_ - static_cast<std::size_t>(at % sector_size_));
      if (random.happens(0.5)) image.write(at, rest.first(count));
      rest = rest.subspan(count);
      at += count;
    }
    if (limit > image.size()) image.resize(limit);
  }

  /// The power fails: no descriptor means anything from here on, and no number comes again. Calls
  /// `report(name, damage)` for each file that there was; a null `damage` says that it has vanished.
  template <class Report>
  void crash(generator& random, Report report) {
    descriptors_.clear();
    first_ = next_;
    ++boots_;
    for (auto at = files_.begin(); at != files_.end();) {
      // Some power cuts lose nearly everything, some nearly nothing. Alone, coins for each sector would show neither.
      const double share = static_cast<double>(random.below(5)) / 4;
      const auto keeps_new = [&] { return random.happens(share); };
      const bool vanishes = !at->second->image.is_durable() && !keeps_new();
      if (vanishes) {
        report(at->first, nullptr, *at->second);
        at = files_.erase(at);
      } else {
        const file_image::damage done = at->second->image.crash(keeps_new);
        report(at->first, &done, *at->second);
        ++at;
      }
    }
  }

 private:
  static constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  /// A number that no descriptor of this machine has, so a mix-up shows.
  static constexpr int lowest = 1'000'000;

  [[nodiscard]] std::uint64_t free_sectors() const noexcept {
    std::uint64_t used = 0;
    for (const auto& [name, file] : files_) used += file->image.reserved();
    return capacity_ - std::min(used, capacity_);
  }

  /// What a transfer that is cut short may have of so many bytes.
  [[nodiscard]] std::uint64_t aligned(std::uint64_t length) const noexcept { return length - length % alignment_; }

  std::int64_t allocate(file_image& image, std::uint64_t offset, std::uint64_t length) {
    if (image.room(offset, length, free_sectors()) < length) return -ENOSPC;
    image.allocate(offset, length);
    return 0;
  }

  std::int64_t transfer(const io_operation& operation, description& its, std::uint64_t length) {
    const bool is_write = operation.op() != asio_op::read;
    const std::uint64_t place = place_of(operation, its);
    if (length > largest - std::min(place, largest)) return -EINVAL;
    if (place % alignment_ != 0 || operation.length() % alignment_ != 0) return -EINVAL;
    if (const int error = meet_bad_sectors(its.file->name, is_write, place, length); error != 0) return -error;
    file_image& image = its.file->image;
    std::span<std::byte> data = operation.buffer();
    if (is_write) {
      const std::uint64_t fits = aligned(image.room(place, length, free_sectors()));
      if (fits == 0 && length > 0) return -ENOSPC;
      data = data.first(static_cast<std::size_t>(fits));
      image.write(place, data);
    } else {
      data = data.first(image.read(place, data.first(static_cast<std::size_t>(length))));
    }
    // A write of nothing moves no position, not even to the end that others are appended to.
    if (operation.offset() == current_position && !data.empty()) its.position = place + data.size();
    return static_cast<std::int64_t>(data.size());
  }

  /// Returns an errno value if the transfer begins in a bad sector, else 0, with a `length` that ends before the next.
  [[nodiscard]] int meet_bad_sectors(std::string_view name, bool is_write, std::uint64_t place,
                                     std::uint64_t& length) const {
    for (const bad_sector& bad : bad_sectors_) {
      if (bad.file != name || !(is_write ? bad.writes : bad.reads) || length == 0) continue;
      if (place >= bad.offset && place - bad.offset < bad.length) return static_cast<int>(bad.error);
      if (place >= bad.offset || length <= bad.offset - place) continue;
      length = aligned(bad.offset - place);
      if (length == 0) return static_cast<int>(bad.error);
    }
    return 0;
  }

  std::size_t sector_size_;
  std::uint64_t capacity_;  // in sectors
  std::size_t alignment_;   // of transfers
  std::map<std::string, std::shared_ptr<disk_file>, std::less<>> files_;
  std::map<int, std::shared_ptr<description>> descriptors_;
  std::vector<bad_sector> bad_sectors_;
  std::uint64_t numbers_ = 0;  // files that there ever were
  std::uint64_t boots_ = 1;
  int first_ = lowest;  // what open() may return
  int next_ = lowest;   // above all that it has returned
};

}  // namespace asioq::testing::detail
