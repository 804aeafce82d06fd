// uring_run HOST ORDER WAY: the program of faulted_run.hpp on io_uring, while strace lets the ring's calls fail.
//
// HOST is uring or uring_or_pool, ORDER strict or as_if_serial, WAY the number of a way of collecting. Such a failure
// ends no request: what the kernel does not take now it is offered again.
#include <asioq/asioq.hpp>
#include <asioq/uring.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "faulted_run.hpp"
#include "hosts.hpp"

namespace {

using namespace asioq_test;

template <class Host>
int run_on(const run_manner& manner) {
  faulted_run<Host> run(manner);
  run.run();
  const std::string complaint = run.check({});
  for (const int error : run.thrown()) std::printf("thrown: %s\n", std::system_category().message(error).c_str());
  if (!complaint.empty()) std::fprintf(stderr, "%s\n", complaint.c_str());
  return complaint.empty() ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  const bool is_strict = std::string_view(arguments[2]) == "strict";
  const run_manner manner{.order = is_strict ? asioq::execution_order::strict : asioq::execution_order::as_if_serial,
                          .way = all_ways_of_collecting.at(std::strtoul(arguments[3], nullptr, 10))};
  return std::string_view(arguments[1]) == "uring" ? run_on<uring_host>(manner) : run_on<uring_or_pool_host>(manner);
}
