// For libFuzzer: see CONTRIBUTING.md.
#include <cstddef>
#include <cstdint>

#include "program.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  asioq_fuzz::run_program({data, size});
  return 0;
}
