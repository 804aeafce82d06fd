// Other programs, and folders for them.
#pragma once

#include <filesystem>
#include <string>

namespace bench {

/// What the command prints, errors included. Throws if it fails.
std::string output_of(const std::string& command);

/// The number in the output that the expression's first group matches. Throws if there is none.
double number_in(const std::string& output, const std::string& expression);

bool is_installed(const std::string& program);

/// A folder that goes with all that is in it.
class scratch {
 public:
  explicit scratch(const std::filesystem::path& parent);
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace bench
