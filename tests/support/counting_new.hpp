// How often the program has called operator new: counted by counting_new.cpp, which replaces it.
#pragma once

#include <atomic>

namespace asioq_test {

/// Calls of every form of operator new so far, on all threads.
extern std::atomic<long> news;

}  // namespace asioq_test
