#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stxxl/io>
#include <stxxl/vector>

#include "scans.hpp"

namespace bench::peers {
namespace {

/// STXXL must have a disk and log files. It gets some memory for the one, and nothing for the others.
void configure() {
  static const bool is_done = [] {
    ::setenv("STXXLLOGFILE", "/dev/null", 0);
    ::setenv("STXXLERRLOGFILE", "/dev/null", 0);
    stxxl::config::get_instance()->add_disk(stxxl::disk_config("", 1 << 20, "memory"));
    return true;
  }();
  static_cast<void>(is_done);
}

class stxxl_scan final : public scanning {
 public:
  using scanning::scanning;

 private:
  struct element {
    std::byte data[scan::part];
  };
  using vector = stxxl::vector<element>;
  static constexpr unsigned buffers = 8;
  static constexpr int mode = stxxl::file::RDONLY | stxxl::file::REQUIRE_DIRECT | stxxl::file::NO_LOCK;

  void read(std::uint64_t length) override {
    const auto parts = static_cast<std::ptrdiff_t>(length / scan::part);
    vector::bufreader_type reader(vector_.begin(), vector_.begin() + parts, buffers);
    for (; !reader.empty(); ++reader) program().take(reader->data);
  }

  stxxl::linuxaio_file file_{file().name(), mode};
  const vector vector_{&file_};
};

}  // namespace

maker scan_by_stxxl(const scan& its) {
  return [its] {
    configure();
    return std::make_unique<stxxl_scan>(its);
  };
}

}  // namespace bench::peers
