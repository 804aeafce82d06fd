// Runs the snippets of one page; used by what tools/snippets generates.
#pragma once

#include <stdlib.h>

#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace snippets {

/// Calls a function, or a main() with the arguments, in a temporary folder of its own; returns the number of failures.
template <class Function>
int run(const std::string& where, Function function, std::vector<std::string> arguments) {
  std::cout << where << std::endl;  // flushed: if it crashes, this says where
  std::string folder = std::filesystem::temp_directory_path() / "snippet.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("no temporary folder " + folder);
  std::filesystem::current_path(folder);
  std::ofstream("input.bin") << std::string(1000003, 'x');

  int status = 1;
  try {
    if constexpr (std::is_invocable_v<Function, int, char**>) {
      std::vector<char*> argv;
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      status = function(static_cast<int>(arguments.size()), argv.data());
    } else if constexpr (std::is_same_v<decltype(function()), void>) {
      function();
      status = 0;
    } else {
      status = function();
    }
    if (status != 0) std::cout << where << ": failed with status " << status << '\n';
  } catch (const std::exception& error) {
    std::cout << where << ": failed: " << error.what() << '\n';
  }
  std::filesystem::current_path("/");
  std::filesystem::remove_all(folder);
  return status == 0 ? 0 : 1;
}

}  // namespace snippets
