#include "scans.hpp"

#include <asioq/huge_page_resource.hpp>
#include <asioq/options.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "../support/command.hpp"

namespace bench::peers {
namespace {

[[noreturn]] void fail(int error, const char* what) { throw std::system_error(error, std::system_category(), what); }

class read_loop final : public scanning {
 public:
  explicit read_loop(const scan& its) : scanning(its), fd_(::open(file().name().c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) fail(errno, "open");
    if (const int error = ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL); error != 0) fail(error, "posix_fadvise");
  }
  read_loop(const read_loop&) = delete;
  read_loop& operator=(const read_loop&) = delete;
  ~read_loop() override { ::close(fd_); }

 private:
  void read(std::uint64_t length) override {
    if (::lseek(fd_, 0, SEEK_SET) != 0) fail(errno, "lseek");
    while (length > 0) {
      const ssize_t count = ::read(fd_, buffer_.data(), std::min<std::uint64_t>(length, buffer_.size()));
      if (count <= 0) fail(count < 0 ? errno : ENODATA, "read");
      program().take({buffer_.data(), static_cast<std::size_t>(count)});
      length -= static_cast<std::uint64_t>(count);
    }
  }

  int fd_;
  std::vector<std::byte> buffer_{scan::part};  // no longer, so that it stays in the processor's cache
};

class pread_loop final : public scanning {
 public:
  using scanning::scanning;

 private:
  void read(std::uint64_t length) override {
    for (std::uint64_t offset = 0; offset < length;) {
      const std::size_t size = std::min<std::uint64_t>(length - offset, buffer_.size());
      const ssize_t count = ::pread(file().direct(), buffer_.data(), size, static_cast<off_t>(offset));
      if (count <= 0) fail(count < 0 ? errno : ENODATA, "pread");
      program().take({buffer_.data(), static_cast<std::size_t>(count)});
      offset += static_cast<std::uint64_t>(count);
    }
  }

  static constexpr std::size_t huge_page = std::size_t{2} << 20U;

  asioq::huge_page_resource pages_;
  const std::span<std::byte> buffer_{static_cast<std::byte*>(pages_.allocate(huge_page, asioq::buffer_alignment)),
                                     huge_page};
};

class fio final : public worker {
 public:
  explicit fio(const scan& its) : its_(its) {}

  void run(std::size_t parts) override { time(parts); }
  double time(std::size_t parts) override {
    const std::string output =
        output_of("fio --minimal --name=read --rw=read --ioengine=io_uring --direct=1 --bs=2M --iodepth=4 --size=" +
                  std::to_string(parts * scan::part) + " --filename=" + its_.file->name());
    // One line, in which field 9 is the milliseconds of reading.
    return number_in(output, "\\bread;(?:[^;]*;){5}([0-9]+);") / 1000;
  }

 private:
  scan its_;
};

}  // namespace

maker scan_by_read(const scan& its) { return make<read_loop>(its); }
maker scan_by_pread(const scan& its) { return make<pread_loop>(its); }
maker scan_by_fio(const scan& its) { return make<fio>(its); }

}  // namespace bench::peers
