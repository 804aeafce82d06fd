#include "rows.hpp"

#include <benchmark/benchmark.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>

namespace bench {
namespace {

/// The calling thread, and all that it starts meanwhile, on the first processor it may use.
class one_core {
 public:
  explicit one_core(bool wanted) : wanted_(wanted) {
    if (!wanted_) return;
    if (::sched_getaffinity(0, sizeof before_, &before_) != 0) fail();
    std::size_t first = 0;
    while (!CPU_ISSET(first, &before_)) ++first;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(first, &only);
    if (::sched_setaffinity(0, sizeof only, &only) != 0) fail();
  }
  one_core(const one_core&) = delete;
  one_core& operator=(const one_core&) = delete;
  ~one_core() {
    if (wanted_) ::sched_setaffinity(0, sizeof before_, &before_);
  }

 private:
  [[noreturn]] static void fail() { throw std::system_error(errno, std::system_category(), "affinity"); }

  bool wanted_;
  cpu_set_t before_{};
};

/// Threads that do nothing but compute, one for each processor.
class busy_threads {
 public:
  explicit busy_threads(bool wanted) {
    if (!wanted) return;
    while (threads_.size() < std::thread::hardware_concurrency())
      threads_.emplace_back([](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
        }
      });
  }

 private:
  std::vector<std::jthread> threads_;
};

/// Three digits, or all before the point, or a whole number.
std::string text(double value) {
  const double size = std::abs(value);
  int decimals = 0;
  if (size < 100) decimals = 1;
  if (size < 10) decimals = 2;
  if (size == std::floor(size)) decimals = 0;  // a count
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%.*f", decimals, value);
  return digits.data();
}

/// The value below which such a part of the sorted values is.
double quantile(const std::vector<double>& sorted, double part) {
  return sorted[static_cast<std::size_t>(std::lround(part * static_cast<double>(sorted.size() - 1)))];
}

}  // namespace

/// Takes the median of the pairs of each row, tells how it goes, and writes the table at the end.
class table::reporter final : public benchmark::BenchmarkReporter {
 public:
  reporter(const table& its, std::string markdown, std::string values)
      : its_(its), markdown_(std::move(markdown)), values_(std::move(values)) {}

  bool ReportContext(const Context& /*unused*/) override { return true; }

  void ReportRuns(const std::vector<Run>& runs) override {
    result of;
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      of.index = static_cast<std::size_t>(run.counters.at("row").value);
      of.figures.push_back(run.counters.at("figure").value);
    }
    if (of.figures.empty()) return;
    std::ranges::sort(of.figures);
    const entry& about = its_.entries_[of.index];
    std::cout << about.its.name << ": " << figure_of(of) << "  (" << range_of(of) << ")\n" << std::flush;
    results_.push_back(std::move(of));
  }

  void Finalize() override {
    std::ostringstream page;
    page << "| work | who | beside | figure | middle half of pairs | goal | met |\n|---|---|---|---|---|---|---|\n";
    for (const result& of : results_) {
      const row& its = its_.entries_[of.index].its;
      page << "| " << its.work << " | " << its.subject << " | " << its.peer << " | " << figure_of(of) << " | "
           << range_of(of) << " | " << goal_of(of) << " | " << verdict_of(of) << " |\n";
    }
    for (const std::string& reason : its_.left_out_) page << "\nLeft out: " << reason << "\n";
    std::cout << '\n' << page.str() << std::flush;
    if (!markdown_.empty()) std::ofstream(markdown_) << page.str();
    if (values_.empty()) return;
    std::ofstream out(values_);
    for (const result& of : results_)
      out << its_.entries_[of.index].its.name << '\t' << quantile(of.figures, 0.5) << '\n';
  }

  [[nodiscard]] std::size_t rows() const { return results_.size(); }

 private:
  struct result {
    std::size_t index = 0;
    std::vector<double> figures;  // one of each pair, sorted
  };

  [[nodiscard]] std::string figure_of(const result& of) const {
    const entry& about = its_.entries_[of.index];
    return text(quantile(of.figures, 0.5)) + " " + about.unit;
  }

  static std::string range_of(const result& of) {
    if (of.figures.size() == 1) return "once";
    return text(quantile(of.figures, 0.25)) + " – " + text(quantile(of.figures, 0.75));
  }

  [[nodiscard]] std::string goal_of(const result& of) const {
    const entry& about = its_.entries_[of.index];
    if (!about.its.goal) return "";
    std::ostringstream goal;
    goal << (about.more_is_better ? "at least " : "at most ") << *about.its.goal;
    return goal.str();
  }

  [[nodiscard]] std::string verdict_of(const result& of) const {
    const entry& about = its_.entries_[of.index];
    if (!about.its.goal) return "";
    const double median = quantile(of.figures, 0.5);
    const bool met = about.more_is_better ? median >= *about.its.goal : median <= *about.its.goal;
    return met ? "yes" : "**no**";
  }

  const table& its_;
  std::string markdown_;
  std::string values_;
  std::vector<result> results_;
};

void table::add(const figure& shown, const row& its, const maker& subject, const maker& peer) {
  const std::size_t index = entries_.size();
  entries_.push_back({its, shown.unit, shown.more_is_better});
  const auto pair = [=, subject_first = false](benchmark::State& state) mutable {
    const auto count = state.max_iterations;
    const auto requests = static_cast<std::size_t>(count);
    const one_core pinned(its.on_one_core);
    const busy_threads others(its.beside_busy_threads);
    const std::unique_ptr<worker> theirs = peer();
    const std::unique_ptr<worker> ours = subject();
    subject_first = !subject_first;
    while (state.KeepRunningBatch(count)) {
      std::vector<bool> turns{subject_first, !subject_first};
      if (its.in_turns) turns.insert(turns.end(), {!subject_first, subject_first});
      double our_time = 0;
      double their_time = 0;
      for (const bool is_ours : turns) (is_ours ? our_time : their_time) += (is_ours ? ours : theirs)->time(requests);
      state.SetIterationTime(our_time + their_time);
      const double each = static_cast<double>(requests * turns.size()) / 2;
      our_time /= each;
      their_time /= each;
      state.counters["row"] = static_cast<double>(index);
      state.counters["figure"] = shown.of(our_time, their_time);
      state.counters["subject_ns"] = our_time * 1e9;
      state.counters["peer_ns"] = their_time * 1e9;
    }
  };
  auto* const registered = benchmark::RegisterBenchmark(its.name.c_str(), pair);
  registered->UseManualTime()->Unit(benchmark::kNanosecond);
  if (its.requests != 0) {
    registered->Iterations(static_cast<benchmark::IterationCount>(its.requests));
    registered->Repetitions(static_cast<int>(std::min(effort_.pairs_of_fixed, its.most_pairs)));
  } else {
    registered->MinTime(effort_.seconds)->Repetitions(static_cast<int>(effort_.pairs));
  }
}

void table::add_count(const char* unit, const row& its, const std::function<double()>& count) {
  const std::size_t index = entries_.size();
  entries_.push_back({its, unit, false});
  benchmark::RegisterBenchmark(its.name.c_str(), [=](benchmark::State& state) {
    while (state.KeepRunning()) {
      state.counters["row"] = static_cast<double>(index);
      state.counters["figure"] = count();
    }
  })->Iterations(1);
}

void table::leave_out(const std::string& what_and_why) {
  std::cout << "Left out: " << what_and_why << '\n';
  left_out_.push_back(what_and_why);
}

std::size_t table::measure(const std::string& markdown, const std::string& values) {
  reporter its(*this, markdown, values);
  benchmark::RunSpecifiedBenchmarks(&its);
  return its.rows();
}

}  // namespace bench
