// Reading a file from its beginning on, with some work for each part of it.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>

#include "computation.hpp"
#include "test_file.hpp"
#include "worker.hpp"

namespace bench {

struct scan {
  static constexpr std::size_t part = std::size_t{64} << 10U;  ///< bytes; the unit in which a worker is given requests

  const test_file* file;
  std::chrono::nanoseconds work;  ///< for each part
};

/// The program that wants to know what is in the file. It looks at each line of the processor's cache, so that data
/// that no processor has touched yet cost what they cost, and computes once for each part.
class scanning_program {
 public:
  explicit scanning_program(std::chrono::nanoseconds work) : computation_(work) {}

  void take(std::span<const std::byte> data) {
    while (!data.empty()) {
      const std::size_t rest = scan::part - static_cast<std::size_t>(bytes_ % scan::part);
      const std::span<const std::byte> now = data.first(std::min(rest, data.size()));
      data = data.subspan(now.size());
      look_at(now);
      bytes_ += now.size();
      if (now.size() == rest) computation_.run();
    }
  }

  /// All that it was given.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  void look_at(std::span<const std::byte> data) {
    constexpr std::size_t line = 64;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i + sizeof sum <= data.size(); i += line) {
      std::uint64_t word = 0;
      std::memcpy(&word, data.data() + i, sizeof word);
      sum += word;
    }
    seen_ = sum;
  }

  computation computation_;
  std::uint64_t bytes_ = 0;
  volatile std::uint64_t seen_ = 0;
};

/// A party that scans. Nothing of the file is in the page cache before a scan.
class scanning : public worker {
 public:
  explicit scanning(const scan& its) : its_(its), program_(its.work) {}

  double time(std::size_t parts) override {
    leave_page_cache();
    const double seconds = worker::time(parts);
    leave_page_cache();  // direct reads have to look whether something is there
    return seconds;
  }

  void run(std::size_t parts) override {
    const std::uint64_t wanted = program_.bytes() + parts * scan::part;
    read(parts * scan::part);
    if (program_.bytes() != wanted) throw std::runtime_error("a scan has not read what it should have");
  }

 protected:
  [[nodiscard]] const test_file& file() const { return *its_.file; }
  [[nodiscard]] scanning_program& program() { return program_; }

 private:
  /// Gives the first bytes of the file to the program, in their order.
  virtual void read(std::uint64_t length) = 0;

  void leave_page_cache() const { ::posix_fadvise(its_.file->cached(), 0, 0, POSIX_FADV_DONTNEED); }

  scan its_;
  scanning_program program_;
};

}  // namespace bench
