// benchmarks [smoke|quick|full] [MARKDOWN [VALUES]] [--benchmark_filter=REGEX]: measures, prints the table, and writes it
// to the files named. smoke measures next to nothing, and shows that everything works.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <exception>
#include <map>
#include <string>

#include "groups.hpp"
#include "support/rows.hpp"

int main(int argc, char** argv) try {
  benchmark::Initialize(&argc, argv);
  const std::map<std::string, bench::effort> efforts{
      {"smoke", {.pairs = 1, .seconds = 0.001, .pairs_of_fixed = 1}},
      {"quick", {.pairs = 5, .seconds = 0.1, .pairs_of_fixed = 1}},
      {"full", {.pairs = 9, .seconds = 0.3, .pairs_of_fixed = 3}},
  };
  const auto chosen = efforts.find(argc > 1 ? argv[1] : "full");
  if (chosen == efforts.end() || argc > 4) {
    std::fputs("usage: benchmarks [smoke|quick|full] [MARKDOWN [VALUES]] [--benchmark_filter=REGEX]\n", stderr);
    return 2;
  }

  bench::table rows(chosen->second);
  bench::add_queue_cost(rows);
  return rows.measure(argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "") > 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "benchmarks: %s\n", error.what());
  return 1;
}
