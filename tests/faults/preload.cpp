// To be preloaded: has one call of a program fail, or counts its calls.
//
// - ASIOQ_FAILING="pwrite 3 5": the third pwrite(2) answers errno 5. See calls.hpp for names and answers. With
//   "new 3 0" the third call of operator new throws.
// - ASIOQ_COUNTING=FILE: at the end the file has a line for each kind of call: its name, how many there were, and what
//   it may answer.
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "calls.hpp"
#include "counting_new.hpp"

namespace {

using namespace asioq_test;

class preloaded {
 public:
  preloaded() {
    if (const char* const text = std::getenv("ASIOQ_FAILING")) {
      char name[64] = {};
      long number = 0;
      int answer = 0;
      if (std::sscanf(text, "%63s %ld %d", name, &number, &answer) != 3) std::abort();
      const std::optional<call> its = call_named(name);
      if (its) calls_.emplace(*its, number, answer);
      if (!its) news_.emplace(number);
    } else if (std::getenv("ASIOQ_COUNTING") != nullptr) {
      calls_.emplace(call::pread, 0, 0);
    }
    news_before_ = news;
  }

  ~preloaded() {
    const long all_news = news - news_before_;
    const char* const path = std::getenv("ASIOQ_COUNTING");
    std::FILE* const file = path == nullptr ? nullptr : std::fopen(path, "w");
    if (file == nullptr) return;
    calls_->stop();
    std::fprintf(file, "new %ld 0\n", all_news);
    for (std::size_t i = 0; i < number_of_calls; ++i) {
      const auto its = static_cast<call>(i);
      std::fprintf(file, "%s %ld", std::string(name_of(its)).c_str(), calls_->seen(its));
      for (const int answer : answers_of(its)) std::fprintf(file, " %d", answer);
      std::fputs("\n", file);
    }
    std::fclose(file);
  }

  preloaded(const preloaded&) = delete;
  preloaded& operator=(const preloaded&) = delete;

 private:
  std::optional<failing_calls> calls_;
  std::optional<failing_new> news_;
  long news_before_ = 0;
};

const preloaded it;

}  // namespace
