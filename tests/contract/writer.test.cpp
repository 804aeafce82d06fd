#include <array>
#include <filesystem>

#include "catch.hpp"
#include "every_executor.hpp"
#include "writer_program.hpp"

using namespace asioq_test;

namespace {

/// File systems with and without an alignment.
const std::array<std::filesystem::path, 2> folders{"/var/tmp", "/dev/shm"};

}  // namespace

TEST_CASE("what a writer was given is in the file, whatever the program does", "[writer]") {
  on_every_executor([](const auto& world) {
    std::uint64_t stream = 100;
    for (const std::filesystem::path& folder : folders) {
      for (const auto mode : {asioq::direct_io::preferred, asioq::direct_io::off}) {
        real_place place(folder, mode);
        auto queue = world.queue({.buffer_size = 8192});
        INFO("seed " << run_seed() << ", in " << folder << ", direct " << place.target().is_direct());
        writer_program program(queue, place, random_source(++stream));
        program.run(3, 12);
      }
    }
  });
}
