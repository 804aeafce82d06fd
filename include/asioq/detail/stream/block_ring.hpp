#pragma once

#include <asioq/request.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace asioq::detail {

/// A block of a file that is being written: a part of a request's buffer, and where it goes.
///
/// Its first byte goes to `base`, which is a multiple of the file's alignment. Bytes before `begin` are a copy of what
/// the file has there, or of an older block.
struct write_block {
  asio_request request;        // empty while the queue has it
  std::byte* bytes = nullptr;  // in the request's buffer
  std::size_t capacity = 0;    // in bytes
  std::size_t most = 0;        // the most that the capacity may grow to
  std::uint64_t base = 0;      // offsets in the file
  std::uint64_t begin = 0;     // of the first byte that no older block has
  std::uint64_t end = 0;       // of the accepted bytes
  std::uint64_t sent = 0;      // bytes before this need not be submitted (again)
  std::uint64_t padded = 0;    // the `end` for which the bytes up to the next multiple of the alignment are right
  bool is_written = false;     // with the kernel, like everything accepted before it
  bool is_dropped = false;     // its bytes were not accepted after all
  std::uint64_t missing = 0;   // bytes from `base` to here have to be read from the file first

  [[nodiscard]] std::size_t room() const noexcept { return capacity - static_cast<std::size_t>(end - base); }
  [[nodiscard]] std::byte* next() const noexcept { return bytes + (end - base); }
  [[nodiscard]] std::byte* at(std::uint64_t offset) const noexcept { return bytes + (offset - base); }
};

/// Blocks in the order of their offsets. Only `reserve` allocates memory, which the ring keeps.
class block_ring {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] write_block& operator[](std::size_t index) noexcept { return places_[place_of(index)]; }
  [[nodiscard]] const write_block& operator[](std::size_t index) const noexcept { return places_[place_of(index)]; }
  [[nodiscard]] write_block& front() noexcept { return (*this)[0]; }
  [[nodiscard]] write_block& back() noexcept { return (*this)[size_ - 1]; }

  /// Makes room for `more` further blocks. May throw `std::bad_alloc`, changing nothing.
  void reserve(std::size_t more) {
    if (places_.size() - size_ >= more) return;
    std::vector<write_block> larger(places_.size() * 2 + more);
    for (std::size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    places_ = std::move(larger);
    first_ = 0;
  }

  /// There must be room: see `reserve`.
  void push_back(write_block&& block) noexcept {
    ++size_;
    back() = std::move(block);
  }
  write_block pop_front() noexcept {
    write_block block = std::move(front());
    first_ = place_of(1);
    --size_;
    return block;
  }
  write_block pop_back() noexcept {
    write_block block = std::move(back());
    --size_;
    return block;
  }

 private:
  [[nodiscard]] std::size_t place_of(std::size_t index) const noexcept {
    const std::size_t place = first_ + index;
    return place < places_.size() ? place : place - places_.size();
  }

  std::vector<write_block> places_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

}  // namespace asioq::detail
