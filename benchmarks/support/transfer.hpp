// Reads or writes of whole blocks of one file: the same work for the library and for each of its peers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>

namespace bench {

enum class direction { read, write };
enum class pattern { sequential, random };

/// What is to be done.
struct transfer {
  int fd;
  std::uint64_t file_size;
  std::size_t block;  ///< bytes of each request
  std::size_t depth;  ///< requests in flight, for a party that can have more than one
  direction way = direction::read;
  pattern order = pattern::random;
};

/// Where the requests go, without end.
class offsets {
 public:
  explicit offsets(const transfer& its)
      : block_(its.block),
        blocks_(its.file_size / its.block),
        random_(its.order == pattern::random),
        seed_(next_seed()) {
    if (blocks_ == 0) throw std::invalid_argument("the file of the benchmark is smaller than a block");
  }

  std::uint64_t next() {
    if (random_) return seed_() % blocks_ * block_;
    return next_++ % blocks_ * block_;
  }

 private:
  /// A new one for each worker: the second must not ask for what the device has just read for the first.
  static std::uint_fast64_t next_seed() {
    static std::uint_fast64_t last = 0;
    return ++last;
  }

  std::size_t block_;
  std::uint64_t blocks_;
  bool random_;
  std::uint64_t next_ = 0;
  std::mt19937_64 seed_;
};

/// As many blocks of aligned memory as there are requests in flight.
class buffers {
 public:
  explicit buffers(const transfer& its)
      : block_(its.block), memory_(static_cast<std::byte*>(::operator new(its.block* its.depth, alignment))) {
    std::memset(memory_.get(), 42, its.block * its.depth);
  }

  [[nodiscard]] std::byte* operator[](std::size_t slot) const { return memory_.get() + slot * block_; }

 private:
  static constexpr std::align_val_t alignment{4096};
  struct free {
    void operator()(std::byte* memory) const noexcept { ::operator delete(memory, alignment); }
  };

  std::size_t block_;
  std::unique_ptr<std::byte, free> memory_;
};

/// Throws unless the outcome of a request, bytes or a negative errno, is its whole length.
inline void check(std::int64_t outcome, const transfer& its, const char* who) {
  if (outcome < 0) throw std::system_error(static_cast<int>(-outcome), std::system_category(), who);
  if (outcome != static_cast<std::int64_t>(its.block))
    throw std::runtime_error(std::string(who) + ": a short transfer");
}

}  // namespace bench
