// Streams: a file read from one end to the other, beside the other ways to do that, and what reading ahead costs.
#include <asioq/asioq.hpp>
#include <asioq/file.hpp>
#include <asioq/reader.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "groups.hpp"
#include "peers/scans.hpp"
#include "support/allocations.hpp"
#include "support/command.hpp"
#include "support/queue_on.hpp"
#include "support/watched_queue.hpp"

namespace bench {
namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20U;
constexpr std::array<int, 3> works{0, 50, 500};  // microseconds

/// How a program may use a reader.
struct reading {
  std::size_t block;
  std::size_t ahead;
  bool has_huge_pages = false;

  [[nodiscard]] std::pmr::memory_resource* memory(asioq::huge_page_resource& pages) const {
    return has_huge_pages ? &pages : std::pmr::new_delete_resource();
  }
};
constexpr reading in_huge_pages{.block = 2 * mebibyte, .ahead = 8 * mebibyte, .has_huge_pages = true};
constexpr reading in_shared_pages{.block = scan::part, .ahead = 8 * mebibyte, .has_huge_pages = true};
constexpr reading in_ordinary_pages{.block = mebibyte, .ahead = 8 * mebibyte};
constexpr reading with_little_memory{.block = scan::part, .ahead = asioq::reader_options{}.max_ahead};

asioq::file opened(const test_file& its) {
  return asioq::file::open_for_reading(its.name(), asioq::direct_io::required);
}

asioq::queue_options options_for(const reading& how) {
  return {.buffer_size = how.block, .order = asioq::execution_order::as_if_serial};
}

template <class Place>
class reader_scan final : public scanning {
 public:
  reader_scan(const scan& its, const reading& how)
      : scanning(its), how_(how), file_(opened(file())), its_queue_(options_for(how), how.memory(pages_)) {}

 private:
  void read(std::uint64_t length) override {
    asioq::reader source{its_queue_.queue, file_, {.length = length, .max_ahead = how_.ahead}};
    for (auto block = source.next(); !block.empty(); block = source.next()) program().take(block);
  }

  reading how_;
  asioq::file file_;
  asioq::huge_page_resource pages_;
  queue_on<Place, std::pmr::polymorphic_allocator<std::byte>> its_queue_;
};

struct contender {
  std::string name;
  std::string title;
  maker who;
};

std::string work_of(int microseconds) {
  return "cold scan of a file, " + std::to_string(microseconds) + " µs of work for each 64 KiB";
}

void add_scans(table& rows, const test_file& file, int work) {
  const scan its{.file = &file, .work = std::chrono::microseconds(work)};
  // Long enough to say something about a scan rather than about its beginning.
  const std::size_t parts = std::min<std::uint64_t>(work == 0    ? 2048
                                                    : work < 500 ? 1024
                                                                 : 512,
                                                    file.size() / scan::part);
  const auto add = [&](const contender& subject, const contender& peer, std::optional<double> goal) {
    rows.add(relative_speed,
             {.name = "scan/" + std::to_string(work) + "us/" + subject.name + "_beside_" + peer.name,
              .work = work_of(work),
              .subject = subject.title,
              .peer = peer.title,
              .goal = goal,
              .requests = parts,
              .in_turns = true},
             subject.who, peer.who);
  };

  std::vector<contender> subjects{{"pool", "asioq::reader, 4 threads, 2 MiB blocks in huge pages",
                                   make<reader_scan<pool_of<4>>>(its, in_huge_pages)}};
  std::vector<contender> others{{"ordinary_pool", "asioq::reader, 4 threads, 1 MiB blocks in ordinary pages",
                                 make<reader_scan<pool_of<4>>>(its, in_ordinary_pages)},
                                {"default_pool", "asioq::reader, 4 threads, 64 KiB blocks, 2 MiB ahead",
                                 make<reader_scan<pool_of<4>>>(its, with_little_memory)},
                                {"shared_pool", "asioq::reader, 4 threads, 64 KiB blocks in huge pages, 8 MiB ahead",
                                 make<reader_scan<pool_of<4>>>(its, in_shared_pages)}};
  if (asioq::uring_context::available()) {
    subjects.push_back(
        {"uring", "asioq::reader, io_uring, 2 MiB blocks in huge pages", make<reader_scan<ring>>(its, in_huge_pages)});
    others.push_back({"ordinary_uring", "asioq::reader, io_uring, 1 MiB blocks in ordinary pages",
                      make<reader_scan<ring>>(its, in_ordinary_pages)});
    others.push_back({"default_uring", "asioq::reader, io_uring, 64 KiB blocks, 2 MiB ahead",
                      make<reader_scan<ring>>(its, with_little_memory)});
    others.push_back({"shared_uring", "asioq::reader, io_uring, 64 KiB blocks in huge pages, 8 MiB ahead",
                      make<reader_scan<ring>>(its, in_shared_pages)});
  }
  const contender read{"read", "read(2), told that it is sequential", peers::scan_by_read(its)};
  const contender pread{"pread", "pread(2), direct, 2 MiB in a huge page", peers::scan_by_pread(its)};
  for (const contender& subject : subjects) {
    add(subject, read, work == 0 ? 0.95 : 1);
    add(subject, pread, 0.95);
#ifdef ASIOQ_BENCHMARK_STXXL
    add(subject, {"stxxl", "STXXL's vector_bufreader", peers::scan_by_stxxl(its)}, 0.95);
#endif
    if (work == 0 && is_installed("fio"))
      add(subject, {"fio", "fio, io_uring, 4 times 2 MiB", peers::scan_by_fio(its)}, 0.95);
  }
  if (work != 0) return;
  for (const contender& subject : others) add(subject, read, {});
}

/// What a reader has asked its queue for.
struct expense {
  std::size_t waits = 0;
  std::uint64_t asked = 0;   // bytes that were read, or were to be read
  std::uint64_t wanted = 0;  // bytes that the program got
  std::size_t memory = 0;    // bytes that queue and reader took, all in all
};

/// What it costs to read as `program` does, which takes a reader and a function that reads the next block.
template <class Place, class Program>
expense expense_of(const test_file& file, const reading& how, std::chrono::nanoseconds work, const Program& program) {
  const asioq::file in = opened(file);
  scanning_program scanner(work);
  expense its;
  Place place;
  asioq::huge_page_resource pages;
  const std::size_t before = allocated().bytes;
  {
    using queue_type =
        asioq::basic_asio_queue<typename Place::executor_type, std::pmr::polymorphic_allocator<std::byte>>;
    watched_queue<queue_type> queue(place.executor(), options_for(how), how.memory(pages));
    asioq::reader source{queue, in, {.length = file.size(), .max_ahead = how.ahead}};
    program(source, [&] {
      const std::span<const std::byte> block = source.next();
      if (queue.has_waited()) ++its.waits;
      scanner.take(block);
      return !block.empty();
    });
    its.asked = queue.asked();
  }
  its.wanted = scanner.bytes();
  its.memory = allocated().bytes - before;
  return its;
}

const auto whole_file = [](auto& /*source*/, const auto& next) {
  while (next()) {
  }
};

/// A number of blocks from each of many places, none of which is near the one before.
auto far_places(const test_file& file, const reading& how, int blocks) {
  return [&file, how, blocks](auto& source, const auto& next) {
    const std::uint64_t all = file.size() / how.block;
    const std::uint64_t step = (all * 5 / 8) | 1U;
    for (std::uint64_t place = 0; place < 256; ++place) {
      source.seek(place * step % all * how.block);
      for (int i = 0; i < blocks; ++i) next();
    }
  };
}

template <class Place>
void add_expenses(table& rows, const test_file& file, const std::string& name, const std::string& where) {
  using std::chrono::microseconds;
  const std::string subject = "asioq::reader, " + where;
  for (const int work : works)
    rows.add_count("waits for each GiB",
                   {.name = "scan/waits/" + name + "/" + std::to_string(work) + "us",
                    .work = work_of(work) + ", in 2 MiB blocks",
                    .subject = subject},
                   [&file, work] {
                     const expense its = expense_of<Place>(file, in_huge_pages, microseconds(work), whole_file);
                     return static_cast<double>(its.waits) * 1024 * mebibyte / static_cast<double>(its.wanted);
                   });

  const auto add_waste = [&](const std::string& what, const std::string& work, std::optional<double> goal,
                             const auto& program) {
    rows.add_count("bytes for each that is wanted",
                   {.name = "scan/thrown_away/" + name + "/" + what,
                    .work = "read ahead and thrown away: " + work,
                    .subject = subject,
                    .goal = goal},
                   [&file, program] {
                     const expense its = expense_of<Place>(file, with_little_memory, microseconds(0), program);
                     return (static_cast<double>(its.asked) - static_cast<double>(its.wanted)) /
                            static_cast<double>(its.wanted);
                   });
  };
  add_waste("whole", "a whole file, 64 KiB blocks", 0, whole_file);
  add_waste("places", "one 64 KiB block from each of 256 places, far apart", {},
            far_places(file, with_little_memory, 1));
  add_waste("runs", "16 such blocks from each of them", {}, far_places(file, with_little_memory, 16));

  rows.add_count("KiB",
                 {.name = "scan/memory/" + name,
                  .work = "memory of a queue and a reader that reads 2 MiB ahead, 64 KiB blocks",
                  .subject = subject,
                  .goal = 2048 + 3 * 64 + 64},
                 [&file] {
                   const expense its = expense_of<Place>(file, with_little_memory, microseconds(0), whole_file);
                   return static_cast<double>(its.memory) / 1024;
                 });
}

}  // namespace

void add_streams(table& rows, const test_file& file) {
  if (!file.why_not_direct().empty()) return;
#ifndef ASIOQ_BENCHMARK_STXXL
  rows.leave_out("STXXL: it was not found when the benchmarks were built");
#endif
  for (const int work : works) add_scans(rows, file, work);
  add_expenses<pool_of<4>>(rows, file, "pool", "4 threads");
  if (asioq::uring_context::available()) add_expenses<ring>(rows, file, "uring", "io_uring");
}

}  // namespace bench
