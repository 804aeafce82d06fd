// replay [-v] FILE_OR_FOLDER...: runs byte strings that a fuzzer has found, and some new ones. With -v each step is
// printed.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "program.hpp"

namespace {

std::size_t programs = 0;

void run_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) {
    std::cerr << "replay: cannot read " << path << "\n";
    std::exit(2);
  }
  std::cout << path.filename().string() << "\n" << std::flush;  // the last one is what has failed
  asioq_fuzz::run_program({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  ++programs;
}

/// Programs that no fuzzer has chosen.
void run_random() {
  const char* const wanted = std::getenv("ASIOQ_SEED");
  const std::uint64_t seed = wanted != nullptr ? std::stoull(wanted) : std::random_device{}();
  for (std::uint64_t i = 0; i < 1000; ++i) {
    std::cout << "random: ASIOQ_SEED=" << seed + i << " has it as its first\n" << std::flush;
    std::mt19937_64 random(seed + i);
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(random() % 1500));
    for (std::uint8_t& one : bytes) one = static_cast<std::uint8_t>(random());
    asioq_fuzz::run_program(bytes);
    ++programs;
  }
}

}  // namespace

int main(int count, char** arguments) {
  for (int i = 1; i < count; ++i) {
    if (std::string_view(arguments[i]) == "-v") {
      asioq_fuzz::is_talkative = true;
    } else if (std::filesystem::is_directory(arguments[i])) {
      for (const auto& entry : std::filesystem::directory_iterator(arguments[i])) run_file(entry.path());
      run_random();
    } else {
      run_file(arguments[i]);
    }
  }
  std::cout << programs << " programs\n";
}
