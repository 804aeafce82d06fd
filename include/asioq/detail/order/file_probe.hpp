#pragma once

#include <asioq/detail/order/file_identity.hpp>
#include <asioq/file_facts.hpp>
#include <asioq/io_executor.hpp>

namespace asioq::detail {

/// The one place from which a queue learns about files. It asks the kernel, or an engine that has files of its own.
/// Refers to the engine.
class file_probe {
 public:
  /// Asks the kernel.
  file_probe() noexcept = default;

  /// Asks the engine if that describes files, else the kernel.
  template <class Engine>
  explicit file_probe(const Engine& engine) noexcept {
    static_assert(!has_describe<Engine> || describes_files<Engine>,
                  "describe(int) of an io_executor must be const noexcept and return asioq::file_facts");
    if constexpr (describes_files<Engine>) {
      engine_ = &engine;
      describe_ = [](const void* its, int fd) noexcept { return static_cast<const Engine*>(its)->describe(fd); };
    }
  }

  /// The facts that decide which requests could observe each other. May block.
  [[nodiscard]] file_facts facts(int fd) const noexcept {
    return describe_ == nullptr ? facts_of(fd) : describe_(engine_, fd);
  }

  /// Which file it is, told from a later one with the same number. May block.
  [[nodiscard]] file_identity identity(int fd) const noexcept {
    file_identity its = facts(fd).identity;
    if (describe_ == nullptr) its.generation = generation_of(fd);
    return its;
  }

 private:
  const void* engine_ = nullptr;
  file_facts (*describe_)(const void* engine, int fd) noexcept = nullptr;
};

}  // namespace asioq::detail
