// Whole programs: how fast examples/direct_copy copies and examples/external_sort sorts, and what a program pays for
// including the library.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "groups.hpp"
#include "support/command.hpp"
#include "support/rows.hpp"

// Told by the build: the compiler, the source folder, and where the examples are.
#if !defined(ASIOQ_COMPILER) || !defined(ASIOQ_SOURCE_ROOT) || !defined(ASIOQ_DIRECT_COPY) || \
    !defined(ASIOQ_EXTERNAL_SORT)
#error benchmarks/meson.build defines these
#endif

namespace bench {
namespace {

namespace fs = std::filesystem;

/// A file that programs make another one of. It is made when it is first asked for: a filter may leave its rows out.
class given_file {
 public:
  given_file(fs::path folder, std::uint64_t size, std::function<void(const fs::path&, std::uint64_t)> write)
      : parent_(std::move(folder)), size_(size), write_(std::move(write)) {}

  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// On the disk, and not in the page cache.
  std::string source() {
    if (folder_ == nullptr) {
      folder_ = std::make_unique<scratch>(parent_);
      write_(path("source"), size_);
      if (fs::file_size(path("source")) != size_) throw std::runtime_error("the file was not made as it should be");
      output_of("sync " + path("source"));
    }
    output_of("dd status=none iflag=nocache count=0 if=" + path("source"));
    return path("source");
  }
  /// For what is made of it: a name without a file.
  std::string target() {
    fs::remove(path("target"));
    return path("target");
  }
  [[nodiscard]] std::string folder() const { return folder_->path().string(); }

 private:
  [[nodiscard]] std::string path(const char* name) const { return (folder_->path() / name).string(); }

  fs::path parent_;
  std::uint64_t size_;
  std::function<void(const fs::path&, std::uint64_t)> write_;
  std::unique_ptr<scratch> folder_;
};

/// A program that makes a file of another one.
class file_program final : public worker {
 public:
  using timing = double (*)(given_file&);  // runs it, and says how many seconds its work took

  file_program(std::shared_ptr<given_file> file, timing its) : file_(std::move(file)), its_(its) {}
  void run(std::size_t requests) override { time(requests); }
  double time(std::size_t /*requests*/) override { return its_(*file_); }

 private:
  std::shared_ptr<given_file> file_;
  timing its_;
};

/// Of a command that does nothing but this work.
double seconds_of(const std::string& command) {
  const auto start = std::chrono::steady_clock::now();
  output_of(command);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void write_noise(const fs::path& path, std::uint64_t size) {
  output_of("head -c " + std::to_string(size) + " /dev/urandom >" + path.string());
}

/// Copies, past the page cache or through it, until the copy is on the disk. Direct_copy, dd and fio tell how long that
/// took, without what they do before and after.
double time_direct_copy(given_file& file) {
  const std::string source = file.source();
  return number_in(output_of(ASIOQ_DIRECT_COPY " " + source + " " + file.target()), "in ([0-9.]+) s");
}

double time_cp(given_file& file) {
  const std::string source = file.source();
  const std::string target = file.target();
  return seconds_of("cp " + source + " " + target + " && sync " + target);
}

double time_dd(given_file& file) {
  const std::string source = file.source();
  return number_in(
      output_of("LC_ALL=C dd bs=1M iflag=direct oflag=direct conv=fsync if=" + source + " of=" + file.target()),
      "copied, ([0-9.]+) s");
}

/// Reads one file and writes another at the same time.
double time_fio(given_file& file) {
  const std::string source = file.source();
  const std::string output =
      output_of("fio --minimal --ioengine=libaio --direct=1 --bs=1M --iodepth=8 --end_fsync=1 --size=" +
                std::to_string(file.size()) + " --name=read --rw=read --filename=" + source +
                " --name=write --rw=write --filename=" + file.target());
  // One line for each, in which field 9 is the milliseconds of reading, and field 50 those of writing.
  const double reading = number_in(output, "\\bread;(?:[^;]*;){5}([0-9]+);");
  const double writing = number_in(output, "\\bwrite;(?:[^;]*;){46}([0-9]+);");
  return std::max(reading, writing) / 1000;
}

/// Lines of 10 to 90 letters.
void write_lines(const fs::path& path, std::uint64_t size) {
  std::ofstream out(path, std::ios::binary);
  std::mt19937_64 random(size);
  std::string line;
  for (std::uint64_t rest = size; rest > 0; rest -= line.size()) {
    line.clear();
    for (std::uint64_t letters = 10 + random() % 81; line.size() < letters;) {
      std::uint64_t bits = random();
      for (int i = 0; i < 12 && line.size() < letters; ++i, bits >>= 5U)
        line += static_cast<char>('a' + (bits & 31U) % 26);
    }
    line.resize(std::min<std::uint64_t>(line.size(), rest - 1));
    line += '\n';
    out << line;
  }
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

/// What both sorts may use, in MiB: the file is sorted in several parts.
std::string memory_for(const given_file& file) {
  return std::to_string(std::max<std::uint64_t>(file.size() >> 22U, 1));
}

/// Sorts, until the result is on the disk.
double time_external_sort(given_file& file) {
  const std::string source = file.source();
  const std::string target = file.target();
  return seconds_of(ASIOQ_EXTERNAL_SORT " -m " + memory_for(file) + " -t " + file.folder() + " " + source + " " +
                    target + " && sync " + target);
}

double time_gnu_sort(given_file& file) {
  const std::string source = file.source();
  const std::string target = file.target();
  return seconds_of("LC_ALL=C sort -S " + memory_for(file) + "M -T " + file.folder() + " -o " + target + " " + source +
                    " && sync " + target);
}

void add_copies(table& rows, const fs::path& folder, std::uint64_t size) {
  if (!fs::exists(ASIOQ_DIRECT_COPY)) {
    rows.leave_out("direct_copy: it is not built");
    return;
  }
  const auto file = std::make_shared<given_file>(folder, size, write_noise);
  const auto add = [&](const std::string& name, const std::string& peer, file_program::timing their) {
    rows.add(relative_speed,
             {.name = "programs/direct_copy/" + name,
              .work = "copy of " + std::to_string(size >> 20U) + " MiB, with fsync",
              .subject = "examples/direct_copy",
              .peer = peer,
              .goal = 1,
              .requests = 1,
              .most_pairs = 3,
              .in_turns = true},
             make<file_program>(file, time_direct_copy), make<file_program>(file, their));
  };
  add("cp", "cp", time_cp);
  add("dd", "dd, 1 MiB, direct", time_dd);
  if (is_installed("fio")) {
    add("fio", "fio, 1 MiB, direct, depth 8", time_fio);
  } else {
    rows.leave_out("direct_copy beside fio: there is no fio");
  }
}

void add_sort(table& rows, const fs::path& folder, std::uint64_t size) {
  if (!fs::exists(ASIOQ_EXTERNAL_SORT)) {
    rows.leave_out("external_sort: it is not built");
    return;
  }
  const auto file = std::make_shared<given_file>(folder, size, write_lines);
  rows.add(relative_time,
           {.name = "programs/external_sort",
            .work = "sorting the lines of " + std::to_string(size >> 20U) + " MiB with " + memory_for(*file) +
                    " MiB of memory, with fsync",
            .subject = "examples/external_sort",
            .peer = "GNU sort",
            .goal = 1,
            .requests = 1,
            .most_pairs = 3},
           make<file_program>(file, time_external_sort), make<file_program>(file, time_gnu_sort));
}

/// Compiles the text of a source file.
class compilation final : public worker {
 public:
  explicit compilation(const std::string& text) { std::ofstream(source()) << text; }
  void run(std::size_t /*requests*/) override {
    output_of(ASIOQ_COMPILER " -std=c++20 -O2 -c -o /dev/null -I" ASIOQ_SOURCE_ROOT "/include " + source());
  }

 private:
  [[nodiscard]] std::string source() const { return (folder_.path() / "source.cpp").string(); }

  scratch folder_{fs::temp_directory_path()};
};

/// The headers of the system that the umbrella header includes, as lines of a source file.
std::string system_headers() {
  std::set<std::string> lines;
  for (const auto& file : fs::recursive_directory_iterator(ASIOQ_SOURCE_ROOT "/include/asioq")) {
    if (!file.is_regular_file() || file.path().filename().string().starts_with("uring")) continue;
    std::ifstream text(file.path());
    for (std::string line; std::getline(text, line);)
      if (line.starts_with("#include <") && !line.starts_with("#include <asioq/")) lines.insert(line + "\n");
  }
  std::string all;
  for (const std::string& line : lines) all += line;
  return all;
}

double size_of_program() {
  const scratch folder{fs::temp_directory_path()};
  const fs::path program = folder.path() / "program";
  output_of(ASIOQ_COMPILER " -std=c++20 -O2 -s -pthread -DNDEBUG -I" ASIOQ_SOURCE_ROOT "/include -o " +
            program.string() + " " ASIOQ_SOURCE_ROOT "/examples/hello_queue.cpp");
  return static_cast<double>(fs::file_size(program)) / 1024;
}

}  // namespace

void add_programs(table& rows, const fs::path& folder, std::uint64_t size_of_file) {
  add_copies(rows, folder, size_of_file);
  add_sort(rows, folder, size_of_file);
  rows.add(relative_time,
           {.name = "programs/compile",
            .work = "compiling",
            .subject = "asioq/asioq.hpp",
            .peer = "the system's headers that it includes",
            .requests = 1},
           make<compilation>(std::string("#include <asioq/asioq.hpp>\n")), make<compilation>(system_headers()));
  rows.add_count("KiB",
                 {.name = "programs/size", .work = "size of a stripped program", .subject = "examples/hello_queue"},
                 size_of_program);
}

}  // namespace bench
