#pragma once

/// @file
/// A reader and a writer as buffers of the standard library's streams.

#include <asioq/reader.hpp>
#include <asioq/writer.hpp>

#include <cstddef>
#include <cstdint>
#include <ios>
#include <span>
#include <streambuf>
#include <system_error>

namespace asioq {

/// Lets `std::istream`, and so `std::getline` and `operator>>`, read from a reader: `asioq::reader_buf buffer{source};
/// std::istream in{&buffer};`. It hands out the reader's blocks without a copy.
///
/// An exception of the reader sets `badbit` in the stream, or propagates from the stream's call if `exceptions()` has
/// that bit. After `clear()` the stream continues after what the reader has skipped. At the end of a file that may
/// grow, `clear()` also lets the stream try again. A character can be put back if it is still in the block.
///
/// A stream seeks wherever the reader can. Seeks from the end use the size that the file has at that moment, without
/// what the queue has not written yet.
///
/// The reader must outlive the buffer. The reader's position is the end of the block that the stream has. A call of the
/// reader invalidates that block, so use the reader only through the stream. The buffer allocates nothing itself.
template <class Queue>
class reader_buf final : public std::streambuf {
 public:
  /// Begins where the reader is.
  explicit reader_buf(reader<Queue>& source) : source_(source) {}

 protected:
  /// Makes the reader's next block the get area.
  int_type underflow() override {
    if (gptr() == egptr()) {
      show({});  // the call invalidates the block, even if it throws
      show(source_.next());
    }
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
    // A place before the file's first byte becomes an offset that no file reaches.
    return seekpos(as_position(base + static_cast<std::uint64_t>(offset)), which);
  }

  /// Goes to a byte of the file. Within the block that the stream has, this does not call the reader.
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
    // The standard library's get area is not const. Only pbackfail() would write to it, and this class does not
    // override that.
    auto* const bytes = reinterpret_cast<char*>(const_cast<std::byte*>(block.data()));
    setg(bytes, bytes, bytes + block.size());
  }

  reader<Queue>& source_;
};

/// Lets `std::ostream`, and so `operator<<`, write to a writer: `asioq::writer_buf buffer{sink}; std::ostream
/// out{&buffer};`.
///
/// It has no memory of its own, since it uses the writer's block. So the writer accepts at once what the stream is
/// given, `tellp()` is the writer's position, and the program may also call the writer itself. Flushing the stream
/// calls the writer's `flush()`, so `std::endl` in a loop costs a write for each line. The buffer makes nothing
/// durable, and does not close the writer.
///
/// An exception of the writer sets `badbit` in the stream, or propagates from the stream's call if `exceptions()` has
/// that bit. `write()` and `put()` of the stream have then accepted nothing. `operator<<` writes padding (`std::setw`)
/// one character at a time, so some of it may have been accepted; `tellp()` tells after `clear()`. After the writer's
/// `retry()` and the stream's `clear()` the stream continues. It cannot seek. The writer must outlive the buffer, which
/// allocates nothing itself.
template <class Queue>
class writer_buf final : public std::streambuf {
 public:
  /// Begins where the writer is.
  explicit writer_buf(writer<Queue>& sink) : sink_(sink) {}

 protected:
  /// Gives the writer one character.
  int_type overflow(int_type value) override {
    if (traits_type::eq_int_type(value, traits_type::eof())) return traits_type::not_eof(value);
    const char one = traits_type::to_char_type(value);
    sink_.write(std::as_bytes(std::span(&one, 1)));
    return value;
  }

  /// Gives the writer some characters.
  std::streamsize xsputn(const char* text, std::streamsize count) override {
    sink_.write(std::as_bytes(std::span(text, static_cast<std::size_t>(count))));
    return count;
  }

  /// Returns when all that the writer has accepted is with the kernel.
  int sync() override {
    sink_.flush();
    return 0;
  }

  /// Returns the writer's position; any other seek fails.
  pos_type seekoff(off_type offset, std::ios_base::seekdir from, std::ios_base::openmode which) override {
    if ((which & std::ios_base::out) == 0 || from != std::ios_base::cur || offset != 0) return {off_type(-1)};
    return {static_cast<off_type>(sink_.position())};
  }

 private:
  writer<Queue>& sink_;
};

}  // namespace asioq
