// A byte string as a program on the public interface: queues on a simulated disk, faults, and bad use.
#pragma once

#include <cstdint>
#include <span>

namespace asioq_fuzz {

/// Runs it. Where something is not as it must be, the process is aborted.
void run_program(std::span<const std::uint8_t> bytes);

}  // namespace asioq_fuzz
