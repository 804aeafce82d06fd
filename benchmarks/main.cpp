// benchmarks [smoke|quick|full] [MARKDOWN [VALUES]] [--benchmark_filter=REGEX]: measures, prints the table, and writes
// it to the files named. smoke measures next to nothing, and shows that everything works.
//
// In the environment: ASIOQ_BENCHMARK_DIR, the folder for files to read and write, by default the current one;
// ASIOQ_BENCHMARK_MIB, the size of the file that is read and written past the page cache.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <string>

#include "groups.hpp"
#include "support/rows.hpp"
#include "support/test_file.hpp"

namespace {

constexpr std::uint64_t mebibyte = 1 << 20;

struct mode {
  bench::effort effort;
  std::uint64_t file_size;
  std::uint64_t size_of_given_file;
};

std::map<std::string, mode> modes() {
  return {
      {"smoke", {{.pairs = 1, .seconds = 0.001, .pairs_of_fixed = 1}, 8 * mebibyte, 8 * mebibyte}},
      {"quick", {{.pairs = 5, .seconds = 0.05, .pairs_of_fixed = 3}, 256 * mebibyte, 64 * mebibyte}},
      {"full", {{.pairs = 9, .seconds = 0.2, .pairs_of_fixed = 5}, 256 * mebibyte, 1024 * mebibyte}},
  };
}

std::string from_environment(const char* name, const std::string& otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

}  // namespace

int main(int argc, char** argv) try {
  benchmark::Initialize(&argc, argv);
  const auto all = modes();
  const auto chosen = all.find(argc > 1 ? argv[1] : "full");
  if (chosen == all.end() || argc > 4) {
    std::fputs("usage: benchmarks [smoke|quick|full] [MARKDOWN [VALUES]] [--benchmark_filter=REGEX]\n", stderr);
    return 2;
  }
  const auto& [effort, file_size, size_of_given_file] = chosen->second;
  const std::string folder = from_environment("ASIOQ_BENCHMARK_DIR", ".");
  const std::string size = from_environment("ASIOQ_BENCHMARK_MIB", std::to_string(file_size / mebibyte));

  const bench::test_file file(folder, std::stoull(size) * mebibyte);
  const bench::test_file cached_file(folder, mebibyte);
  bench::table rows(effort);
  bench::add_transfers(rows, file);
  bench::add_overhead(rows, cached_file);
  bench::add_queue_cost(rows);
  bench::add_overlaps(rows, file);
  bench::add_completions(rows, file, cached_file);
  bench::add_adjacent(rows, file);
  bench::add_streams(rows, file);
  bench::add_memory(rows);
  bench::add_programs(rows, folder, size_of_given_file);
  return rows.measure(argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "") > 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "benchmarks: %s\n", error.what());
  return 1;
}
