// Whole programs: how fast examples/direct_copy copies, and what a program pays for including the library.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "groups.hpp"
#include "support/rows.hpp"

// Told by the build: the compiler, the source folder, and where direct_copy is.
#if !defined(ASIOQ_COMPILER) || !defined(ASIOQ_SOURCE_ROOT) || !defined(ASIOQ_DIRECT_COPY)
#error benchmarks/meson.build defines these
#endif

namespace bench {
namespace {

namespace fs = std::filesystem;

/// What the command prints. Throws if it fails.
std::string output_of(const std::string& command) {
  std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");  // NOLINT(cert-env33-c)
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  std::string output;
  std::array<char, 4096> part{};
  while (const std::size_t size = std::fread(part.data(), 1, part.size(), pipe)) output.append(part.data(), size);
  if (::pclose(pipe) != 0) throw std::runtime_error(command + ": " + output);
  return output;
}

bool is_installed(const std::string& program) {
  return std::system(("command -v " + program + " >/dev/null").c_str()) == 0;  // NOLINT(cert-env33-c)
}

/// A folder that goes with all that is in it.
class scratch {
 public:
  explicit scratch(const fs::path& parent) : path_(parent / "asioq-benchmark-XXXXXX") {
    std::string name = path_;
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::system_category(), name);
    path_ = name;
  }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// A file to copy, made when it is first asked for: a filter may leave its row out.
class copied_file {
 public:
  copied_file(fs::path folder, std::uint64_t size) : parent_(std::move(folder)), size_(size) {}

  [[nodiscard]] std::uint64_t size() const { return size_; }
  std::string source() {
    if (folder_ == nullptr) {
      folder_ = std::make_unique<scratch>(parent_);
      output_of("head -c " + std::to_string(size_) + " /dev/urandom >" + path("source") + " && sync " + path("source"));
    }
    return path("source");
  }
  /// A name without a file.
  std::string copy() {
    fs::remove(folder_->path() / "copy");
    return path("copy");
  }

 private:
  [[nodiscard]] std::string path(const char* name) const { return (folder_->path() / name).string(); }

  fs::path parent_;
  std::uint64_t size_;
  std::unique_ptr<scratch> folder_;
};

/// A program that tells how long its work took, without what it does before and after.
class copying_program : public worker {
 public:
  explicit copying_program(std::shared_ptr<copied_file> file) : file_(std::move(file)) {}
  void run(std::size_t requests) override { time(requests); }

 protected:
  [[nodiscard]] copied_file& file() const { return *file_; }

  static double seconds_in(const std::string& output, const char* expression) {
    std::smatch found;
    if (!std::regex_search(output, found, std::regex(expression))) throw std::runtime_error("no time in: " + output);
    return std::stod(found[1]);
  }

 private:
  std::shared_ptr<copied_file> file_;
};

class direct_copy final : public copying_program {
 public:
  using copying_program::copying_program;

  double time(std::size_t /*requests*/) override {
    const std::string source = file().source();
    return seconds_in(output_of(ASIOQ_DIRECT_COPY " " + source + " " + file().copy()), "in ([0-9.]+) s");
  }
};

/// The faster of dd, and of fio, which reads one file and writes another at the same time.
class dd_or_fio final : public copying_program {
 public:
  using copying_program::copying_program;

  double time(std::size_t /*requests*/) override {
    const double of_dd = dd();
    return std::min(of_dd, fio());
  }

 private:
  double dd() {
    const std::string source = file().source();
    return seconds_in(
        output_of("LC_ALL=C dd bs=1M iflag=direct oflag=direct conv=fsync if=" + source + " of=" + file().copy()),
        "copied, ([0-9.]+) s");
  }

  double fio() {
    const std::string source = file().source();
    const std::string output =
        output_of("fio --minimal --ioengine=libaio --direct=1 --bs=1M --iodepth=8 --end_fsync=1 --size=" +
                  std::to_string(file().size()) + " --name=read --rw=read --filename=" + source +
                  " --name=write --rw=write --filename=" + file().copy());
    // One line for each, in which field 9 is the milliseconds of reading, and field 50 those of writing.
    const double reading = seconds_in(output, "\\bread;(?:[^;]*;){5}([0-9]+);");
    const double writing = seconds_in(output, "\\bwrite;(?:[^;]*;){46}([0-9]+);");
    return std::max(reading, writing) / 1000;
  }
};

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

void add_programs(table& rows, const fs::path& folder, std::uint64_t size_to_copy) {
  if (!fs::exists(ASIOQ_DIRECT_COPY)) {
    rows.leave_out("direct_copy: it is not built");
  } else if (!is_installed("fio")) {
    rows.leave_out("direct_copy: there is no fio");
  } else {
    const auto file = std::make_shared<copied_file>(folder, size_to_copy);
    rows.add(relative_speed,
             {.name = "programs/direct_copy",
              .work = "copy of " + std::to_string(size_to_copy >> 20U) + " MiB, 1 MiB blocks, direct, with fsync",
              .subject = "examples/direct_copy",
              .peer = "the faster of dd, and fio at depth 8",
              .goal = 0.95,
              .requests = 1},
             make<direct_copy>(file), make<dd_or_fio>(file));
  }
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
