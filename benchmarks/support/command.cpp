#include "command.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <regex>
#include <stdexcept>
#include <system_error>

namespace bench {

namespace fs = std::filesystem;

std::string output_of(const std::string& command) {
  std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");  // NOLINT(cert-env33-c)
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  std::string output;
  std::array<char, 4096> part{};
  while (const std::size_t size = std::fread(part.data(), 1, part.size(), pipe)) output.append(part.data(), size);
  if (::pclose(pipe) != 0) throw std::runtime_error(command + ": " + output);
  return output;
}

double number_in(const std::string& output, const std::string& expression) {
  std::smatch found;
  if (!std::regex_search(output, found, std::regex(expression)))
    throw std::runtime_error("nothing like " + expression + " in: " + output);
  return std::stod(found[1]);
}

bool is_installed(const std::string& program) {
  return std::system(("command -v " + program + " >/dev/null").c_str()) == 0;  // NOLINT(cert-env33-c)
}

scratch::scratch(const fs::path& parent) : path_(parent / "asioq-benchmark-XXXXXX") {
  std::string name = path_;
  if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::system_category(), name);
  path_ = name;
}

scratch::~scratch() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace bench
