#pragma once

/// @file
/// A reader as a buffer of the standard library's streams.

#include <asioq/reader.hpp>

#include <cstddef>
#include <cstdint>
#include <ios>
#include <span>
#include <streambuf>
#include <system_error>

namespace asioq {

/// Lets `std::istream`, and so `std::getline` and `operator>>`, read from a reader:
/// `asioq::reader_buf buffer{source}; std::istream in{&buffer};`. It hands out the reader's blocks without a copy.
///
/// What the reader throws sets `badbit` in the stream, or comes out of the stream's calls if its `exceptions()` have
/// that bit. The stream goes on after `clear()`, behind what the reader has left out. At the end of a file that may
/// grow, `clear()` lets it try again, too. A character can be put back if it is still in the block.
///
/// A stream seeks wherever the reader can, and relative to the end as the file's size is at the time: without what its
/// queue has not written yet.
///
/// The reader must outlive it. Its position is the end of the block that the stream has. A call of the reader takes
/// that block away, so make none but through the stream. It allocates nothing itself.
template <class Queue>
class reader_buf final : public std::streambuf {
 public:
  /// Begins where the reader is.
  explicit reader_buf(reader<Queue>& source) : source_(source) {}

 protected:
  /// Shows the reader's next block.
  int_type underflow() override {
    if (gptr() == egptr()) show(source_.next());
    return gptr() == egptr() ? traits_type::eof() : traits_type::to_int_type(*gptr());
  }

  /// Goes to a place relative to the first byte, to where the stream is, or to the end of the file.
  pos_type seekoff(off_type offset, std::ios_base::seekdir from, std::ios_base::openmode which) override {
    std::uint64_t base = 0;
    if (from == std::ios_base::cur) {
      base = source_.position() - static_cast<std::uint64_t>(egptr() - gptr());
      if (offset == 0) return as_position(base);
    } else if (from == std::ios_base::end) {
      base = source_.end_now();
    }
    // A distance before the file's first byte becomes a number that no file reaches.
    return seekpos(as_position(base + static_cast<std::uint64_t>(offset)), which);
  }

  /// Goes to a byte of the file. Within the block that the stream has, that costs nothing.
  pos_type seekpos(pos_type position, std::ios_base::openmode which) override {
    if ((which & std::ios_base::in) == 0 || position < pos_type(off_type(0))) return refused();
    const auto place = static_cast<std::uint64_t>(static_cast<off_type>(position));
    const std::uint64_t begin = source_.position() - static_cast<std::uint64_t>(egptr() - eback());
    if (place >= begin && place <= source_.position()) {
      setg(eback(), eback() + (place - begin), egptr());
      return position;
    }
    try {
      source_.seek(place);
    } catch (const std::system_error&) {  // a pipe
      return refused();
    }
    show({});
    return position;
  }

 private:
  static pos_type as_position(std::uint64_t place) { return {static_cast<off_type>(place)}; }
  static pos_type refused() { return {off_type(-1)}; }

  void show(std::span<const std::byte> block) {
    // The standard library has no area to read from that is constant. It writes there only in pbackfail(), which this
    // class does not have.
    auto* const bytes = reinterpret_cast<char*>(const_cast<std::byte*>(block.data()));
    setg(bytes, bytes, bytes + block.size());
  }

  reader<Queue>& source_;
};

}  // namespace asioq
