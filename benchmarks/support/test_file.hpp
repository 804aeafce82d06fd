// A file to read and to write, which has no name and goes with its descriptors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace bench {

class test_file {
 public:
  /// Makes it in the folder, with that many bytes, and makes it durable, so that the disk is at rest.
  test_file(const std::filesystem::path& folder, std::uint64_t size);
  test_file(const test_file&) = delete;
  test_file& operator=(const test_file&) = delete;
  ~test_file();

  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// By which any program can open it, as long as this one runs.
  [[nodiscard]] std::string name() const;
  /// Through the page cache.
  [[nodiscard]] int cached() const { return cached_; }
  /// With O_DIRECT, if `why_not_direct()` is empty.
  [[nodiscard]] int direct() const { return direct_; }
  [[nodiscard]] const std::string& why_not_direct() const { return why_not_direct_; }

 private:
  void find_out_direct();

  std::uint64_t size_;
  int cached_ = -1;
  int direct_ = -1;
  std::string why_not_direct_;
};

}  // namespace bench
