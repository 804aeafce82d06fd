// Makes random programs for a queue, and names their steps.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/operation.hpp>
#include <asioq/options.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "playground.hpp"
#include "program.hpp"

namespace asioq_test {

namespace programs {

inline std::size_t up_to(std::mt19937_64& random, std::size_t most) { return random() % (most + 1); }
inline bool one_in(std::mt19937_64& random, std::size_t count) { return random() % count == 0; }

inline program::step random_step(std::mt19937_64& random, const program& its, const playground& files,
                                 std::span<const std::size_t> targets, const abilities& can, std::size_t span,
                                 std::size_t drift, std::size_t most, std::size_t whole_file_every) {
  using asioq::asio_op;
  program::step made;
  switch (up_to(random, 20)) {
    case 0:
    case 1:
    case 2:
      made.before = program::step::pause::collect_one;
      break;
    case 3:
    case 4:
      made.before = program::step::pause::collect_if_any;
      break;
    case 5:
      if (one_in(random, 4)) made.before = program::step::pause::sync;
      break;
    default:
      break;
  }
  made.target =
      one_in(random, 20) ? up_to(random, files.targets().size() - 1) : targets[up_to(random, targets.size() - 1)];
  if (files.targets()[made.target].where == playground::pipe && !can.empty_pipes) made.target = 0;
  const playground::target& target = files.targets()[made.target];
  constexpr std::array transfers{asio_op::read, asio_op::read, asio_op::write, asio_op::write_back};
  made.op = transfers[up_to(random, transfers.size() - 1)];
  if (one_in(random, whole_file_every)) made.op = one_in(random, 2) ? asio_op::fsync : asio_op::fdatasync;
  made.length = up_to(random, most);
  if (target.where >= playground::regular_files) made.length = std::max<std::size_t>(made.length, 1);
  made.offset = drift * its.steps.size() + up_to(random, span);
  if (one_in(random, whole_file_every)) made.offset = asioq::current_position;
  if (target.where == playground::pipe && !can.pipes_by_offset) made.offset = asioq::current_position;
  if (made.op == asio_op::read && made.offset != asioq::current_position && one_in(random, 32)) made.offset <<= 40U;
  if (target.where == playground::direct) {
    made.length = std::min(its.buffer_size, made.length * 4) / playground::sector * playground::sector;
    if (made.offset != asioq::current_position) made.offset = made.offset / playground::sector * playground::sector;
  }
  if (target.where != playground::sealed && made.offset != asioq::current_position && made.offset >> 40U == 0 &&
      one_in(random, 2 * whole_file_every)) {
    // A sealed file could not get its size back.
    made.op = one_in(random, 3) ? asio_op::allocate : asio_op::truncate;
    made.length = made.op == asio_op::truncate ? 0 : std::max<std::size_t>(made.length, 1);
  }
  if (asioq::traits_of(made.op).transfers && one_in(random, 4)) {
    made.first = up_to(random, its.buffer_size - made.length);
    if (target.where == playground::direct) made.first = made.first / playground::sector * playground::sector;
  }
  // To submit a write-back may take waiting, and what goes on meanwhile must not be refused: it would fail.
  made.refused = made.op != asio_op::write_back && one_in(random, 16);
  if (made.op == asio_op::fsync || made.op == asio_op::fdatasync) {
    made.length = 0;
    made.offset = asioq::current_position;
  }
  return made;
}

/// The same for the same seed and abilities.
inline program random_program(std::uint64_t seed, const playground& files, const abilities& can) {
  std::mt19937_64 random{seed};
  program made;
  made.seed = random();
  made.buffer_size = 64 + up_to(random, 2000);
  made.max_writebacks = 1 + up_to(random, 20);
  constexpr std::array<std::size_t, 6> depths{1, 2, 3, 8, 32, 100};
  made.max_in_flight = depths[up_to(random, depths.size() - 1)];
  if (one_in(random, 3)) made.on_failure = asioq::failure_policy::hold;
  for (const std::size_t file : {playground::plain, playground::other})
    made.sizes[file] = one_in(random, 2) ? up_to(random, 2000) : 0;
  made.sizes[playground::direct] = up_to(random, 6) * playground::sector;
  made.sizes[playground::sealed] = playground::sealed_size;
  // With a drift the end of the files is never far away.
  const std::size_t span = 100U << up_to(random, 5);
  const std::size_t drift = one_in(random, 2) ? 1 + up_to(random, 60) : 0;
  if (can.size_limit && one_in(random, 6)) made.size_limit = 2000 + up_to(random, 2000);
  if (can.simulated_faults && one_in(random, 2)) {
    for (std::size_t left = up_to(random, 3); left > 0; --left) {
      const auto file = static_cast<playground::file>(up_to(random, playground::regular_files - 1));
      const std::size_t grain = file == playground::direct ? playground::sector : 1;
      const std::uint64_t begin = up_to(random, span + drift * 40) / grain * grain;
      made.bad_sectors.push_back({file, one_in(random, 2), begin, begin + (1 + up_to(random, 100)) * grain});
    }
    made.syncs_fail = one_in(random, 2);
  }
  made.syncs_are_passed = !made.syncs_fail && made.seed % 2 == 0;

  // Few descriptors and short ranges, so that requests meet; not too many that meet all others, so that many are in
  // flight.
  std::vector<std::size_t> targets;
  for (std::size_t left = 1 + up_to(random, 5); left > 0; --left)
    targets.push_back(up_to(random, (one_in(random, 2) ? 9 : files.targets().size()) - 1));
  const std::size_t most = std::min(made.buffer_size, std::size_t{16} << up_to(random, 6));
  constexpr std::array<std::size_t, 4> shares{1000, 24, 8, 3};
  const std::size_t whole_file_every = shares[up_to(random, shares.size() - 1)];
  for (std::size_t left = 30 + up_to(random, 30); left > 0; --left)
    made.steps.push_back(random_step(random, made, files, targets, can, span, drift, most, whole_file_every));
  return made;
}

inline std::string name_of(const program::step& step, const playground& files) {
  constexpr std::array pauses{"", "collect one; ", "collect if any; ", "sync; "};
  std::ostringstream text;
  text << pauses[static_cast<std::size_t>(step.before)] << (step.refused ? "refused; " : "")
       << asioq::traits_of(step.op).name << ' ' << files.targets()[step.target].name;
  if (step.op == asioq::asio_op::fsync || step.op == asioq::asio_op::fdatasync) return text.str();
  text << ", " << step.length << " bytes at ";
  if (step.offset == asioq::current_position)
    text << "the position";
  else
    text << step.offset;
  if (step.first != 0) text << ", from byte " << step.first << " of the buffer";
  return text.str();
}

}  // namespace programs

}  // namespace asioq_test
