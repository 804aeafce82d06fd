// Writers on a simulated disk: what fails at any step, is full, or loses its power.
#include <asioq/testing/simulated_disk.hpp>

#include "every_executor.hpp"
#include "writer_program.hpp"

using namespace asioq_test;

namespace {

using asioq::asio_op;
using asioq::retention;
using asioq::testing::disk_options;
using disk = asioq::testing::simulated_disk;
using queue = asioq::basic_asio_queue<disk::executor_type>;

/// A disk, a queue and a file, by a seed.
struct machine {
  machine(std::uint64_t seed, asioq::execution_order order, disk_options options = {}, std::size_t max_requests = 0)
      : random(seed * 0x9e3779b97f4a7c15U),
        unit(std::size_t{1} << (random() % 2 == 0 ? 0 : 4 + random() % 4)),
        its(with(options)),
        place(its),
        requests(its.executor(), {.buffer_size = unit * (1 + random() % 4) + random() % unit,
                                  .order = order,
                                  .on_lost_failure = [this](asioq::asio_request&) { ++losses; },
                                  .max_requests = max_requests == 0 ? 0 : max_requests + (unit == 1 ? 0 : 2)}) {}

  disk_options with(disk_options options) {
    options.seed = random();
    options.sector_size = 16;
    options.direct_alignment = unit;
    options.keeps_log = false;
    return options;
  }

  std::mt19937_64 random;
  std::size_t unit;
  disk its;
  simulated_place place;
  int losses = 0;
  queue requests;
};

std::string describe(const machine& on, std::uint64_t program) {
  return "seed " + std::to_string(run_seed()) + ", program " + std::to_string(program) + ", alignment " +
         std::to_string(on.unit) + ", buffers of " + std::to_string(on.requests.options().buffer_size);
}

}  // namespace

TEST_CASE("what a writer was given is on the simulated disk", "[simulation][writer]") {
  in_every_order([](asioq::execution_order order) {
    for (std::uint64_t i = 0; i < 300 / share_of_programs; ++i) {
      machine on(run_seed() + i, order, {}, i % 3 == 0 ? 1 + i / 3 % 4 : 0);
      INFO(describe(on, i));
      writer_program program(on.requests, on.place, on.random, {.unit = on.unit});
      program.run(3, 20);
      CHECK(on.losses == 0);
    }
  });
}

TEST_CASE("whichever step fails, after retry() nothing is lost", "[simulation][writer]") {
  in_every_order([](asioq::execution_order order) {
    int failures = 0;
    for (std::uint64_t i = 0; i < 60 / share_of_programs; ++i) {
      for (const asio_op op : {asio_op::write, asio_op::fdatasync, asio_op::truncate, asio_op::read}) {
        for (std::size_t others = 0;; ++others) {
          machine on(run_seed() + i, order);
          INFO(describe(on, i) << ", operation " << static_cast<int>(op) << " fails after " << others << " others");
          on.its.fail_next(op, i % 2 == 0 ? std::errc::io_error : std::errc::no_space_on_device, others);
          writer_program program(on.requests, on.place, on.random, {.unit = on.unit, .insists = true});
          program.run(2, 12);
          CHECK(on.losses == 0);
          failures += program.failures();
          if (program.failures() == 0) break;
        }
      }
    }
    CHECK(failures > 500 / static_cast<int>(share_of_programs));
  });
}

TEST_CASE("a power cut at any step leaves what was durable", "[simulation][writer]") {
  in_every_order([](asioq::execution_order order) {
    int cuts = 0;
    for (std::uint64_t i = 0; i < 60 / share_of_programs; ++i) {
      for (std::size_t step = 0;; ++step) {
        machine on(run_seed() + i, order);
        std::string before = text_of_length(below(on.random, 400), on.random);
        INFO(describe(on, i) << ", power cut at step " << step);
        {
          tested_writer<queue> first{on.requests, on.place.target()};
          first.write(bytes_of(before));
          first.sync();
          first.close();
        }
        const bool fails = i % 2 == 0;
        if (fails) on.its.fail_next(asio_op::fdatasync, std::errc::io_error, i / 4 % 3);
        writer_program program(on.requests, on.place, on.random,
                               {.unit = on.unit,
                                .keep = i % 4 < 2 ? retention::until_durable : retention::until_written,
                                .insists = fails,
                                .on_failure = [&] {
                                  if (on.its.power_cuts() != 0) throw std::runtime_error("power cut");
                                }});
        program.set_model(before);
        on.its.crash_after(step);
        try {
          program.run_one(15);
        } catch (const std::exception&) {
        }
        const bool was_cut = on.its.power_cuts() != 0;
        if (!was_cut) on.its.crash();
        const std::string found = on.place.contents();
        const std::string& model = program.model();
        INFO(program.description() << ", from " << program.begin() << ", durable " << program.durable() << ", position "
                                   << program.position() << ", tried " << program.farthest() << ", before "
                                   << before.size() << ", found " << found.size());
        const std::size_t kept = std::min(program.begin(), before.size());
        CHECK(found.substr(0, kept) == before.substr(0, kept));
        if (program.durable() > program.begin()) {
          REQUIRE(found.size() >= program.durable());
          CHECK(found.substr(0, program.durable()) == model.substr(0, program.durable()));
        }
        if (before.size() > program.farthest()) {
          // A power cut may come before the cut of padding.
          const std::size_t padding = (on.unit - before.size() % on.unit) % on.unit;
          REQUIRE(found.size() <= before.size() + padding);
          before.resize(found.size());
          CHECK(found.substr(program.farthest()) == before.substr(program.farthest()));
        }
        if (!was_cut) break;
        ++cuts;
      }
    }
    CHECK(cuts > 1000 / static_cast<int>(share_of_programs));
  });
}
