// The rows of the table: what is measured, against what, and what is hoped for.
//
// A figure is never a time but a ratio (or a difference) of two times, taken of one pair: the same requests by the peer
// and by the subject, one right after the other, first the one and in the next pair the other. What disturbs the
// machine for longer than a pair disturbs both. A row shows the median of its pairs. Google Benchmark finds out how
// many requests make a pair long enough to be measured, and repeats the pairs.
//
// A disk that rations what it gives has more for the party that comes first. In a row that is `in_turns` both come
// first and both come last within one pair: A, B, B, A.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "worker.hpp"

namespace bench {

/// What a row says of the seconds that the subject and its peer take for each request.
struct figure {
  const char* unit;
  bool more_is_better;
  double (*of)(double subject, double peer);
};

inline constexpr figure relative_time{"× the time", false, [](double subject, double peer) { return subject / peer; }};
inline constexpr figure relative_speed{"× the speed", true, [](double subject, double peer) { return peer / subject; }};
inline constexpr figure extra_time{"ns more", false,
                                   [](double subject, double peer) { return (subject - peer) * 1e9; }};

/// One line of the table.
struct row {
  std::string name;       ///< for the filter and for the plot
  std::string work;       ///< what is done
  std::string subject;    ///< by whom
  std::string peer = {};  ///< and by whom else, in the same run
  std::optional<double> goal = {};
  bool on_one_core = false;          ///< both of the pair
  bool beside_busy_threads = false;  ///< one on each processor
  std::size_t requests = 0;      ///< in each pair, if it is not for Google Benchmark to find out; such pairs are fewer
  std::size_t most_pairs = 100;  ///< for pairs that take long
  bool in_turns = false;         ///< each of the pair twice, with as many requests each time
};

/// How long to measure.
struct effort {
  std::size_t pairs;           ///< for each row
  double seconds;              ///< that a pair takes, at least
  std::size_t pairs_of_fixed;  ///< for each row with a fixed number of requests
};

/// The rows, in the order of the table.
class table {
 public:
  explicit table(const effort& its) : effort_(its) {}

  /// A row about pairs.
  void add(const figure& shown, const row& its, const maker& subject, const maker& peer);
  /// A row about something that is counted and has no peer, in the given unit; less is better.
  void add_count(const char* unit, const row& its, const std::function<double()>& count);
  /// Says which rows the table has not, and why.
  void leave_out(const std::string& what_and_why);

  /// Measures all rows whose names match Google Benchmark's filter, writes the table as Markdown to `markdown` and as
  /// tab-separated values to `values` (neither if the name is empty), and returns how many rows there are.
  std::size_t measure(const std::string& markdown, const std::string& values);

 private:
  class reporter;

  struct entry {
    row its;
    const char* unit;
    bool more_is_better;
  };

  effort effort_;
  std::vector<entry> entries_;
  std::vector<std::string> left_out_;
};

}  // namespace bench
