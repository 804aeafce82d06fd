#include "test_file.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <random>
#include <system_error>
#include <vector>

namespace bench {

test_file::test_file(const std::filesystem::path& folder, std::uint64_t size) : size_(size) {
  const auto check = [&](bool good) {
    if (!good) throw std::system_error(errno, std::system_category(), folder.string());
  };
  std::string name = folder / "asioq-benchmark-XXXXXX";
  cached_ = ::mkostemp(name.data(), O_CLOEXEC);
  check(cached_ >= 0);
  direct_ = ::open(name.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  if (direct_ < 0) why_not_direct_ = "O_DIRECT: " + std::system_category().message(errno);
  ::unlink(name.c_str());

  // Not zeros, which some disks do not store.
  std::vector<std::uint64_t> data(std::size_t{1} << 17U);
  std::mt19937_64 random(size);
  for (std::uint64_t& word : data) word = random();
  const std::size_t bytes = data.size() * sizeof(std::uint64_t);
  for (std::uint64_t offset = 0; offset < size; offset += bytes)
    check(::pwrite(cached_, data.data(), bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes));
  check(::fsync(cached_) == 0);
  if (why_not_direct_.empty()) find_out_direct();
}

test_file::~test_file() {
  ::close(cached_);
  if (direct_ >= 0) ::close(direct_);
}

std::string test_file::name() const { return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(cached_); }

void test_file::find_out_direct() {
  struct statfs system{};
  if (::fstatfs(direct_, &system) == 0 && system.f_type == TMPFS_MAGIC) {
    why_not_direct_ = "O_DIRECT: tmpfs takes it, and has no disk";
    return;
  }
  alignas(4096) std::array<std::byte, 4096> block{};
  if (::pread(direct_, block.data(), block.size(), 0) != static_cast<ssize_t>(block.size()))
    why_not_direct_ = "O_DIRECT: " + std::system_category().message(errno);
}

}  // namespace bench
