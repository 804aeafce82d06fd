// Sorts the lines of a file that may be larger than memory, by their bytes, as sort(1) does with LC_ALL=C.
//
// It shows many streams on one queue. Threads sort parts of the input in the buffers that the reader has filled. At the
// same time, the reader reads the next part, and a writer writes an older one to a temporary file, a run. Then all runs
// are read ahead at the same time and merged. If everything fits into memory, it is merged from there.
//
// The output may be the input. If the last merge fails then, the data are lost.
#include <asioq/asioq.hpp>

#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkstemp
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <filesystem>
#include <future>
#include <optional>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/number.hpp"
#include "support/progress.hpp"

namespace {

namespace fs = std::filesystem;
using queue_type = asioq::basic_asio_queue<asioq::thread_pool::executor_type>;
using reader_type = asioq::reader<queue_type>;

/// A line somewhere in memory. There it is followed by a newline, which takes no part in comparisons.
struct line {
  std::uint64_t key = 0;  // its first eight bytes: decides most comparisons without a look at the text
  std::string_view text;  // null behind the last line

  line() = default;
  explicit line(std::string_view its) : text(its) {
    std::memcpy(&key, its.data(), std::min(its.size(), sizeof key));
    if constexpr (std::endian::native == std::endian::little) key = __builtin_bswap64(key);
  }
  explicit operator bool() const { return text.data() != nullptr; }
  friend bool operator<(const line& a, const line& b) { return a.key != b.key ? a.key < b.key : a.text < b.text; }
};

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Cuts the first line off a text. None, if there is no newline in it.
line cut_line(std::string_view& text) {
  const std::size_t size = text.find('\n');
  if (size == std::string_view::npos) return {};
  const line its(text.substr(0, size));
  text.remove_prefix(size + 1);
  return its;
}

/// A part of the input, in memory.
struct part {
  std::vector<line> lines;
  std::vector<asioq::asio_request> blocks;  // where most lines are
  std::deque<std::string> split;            // those that begin in one block and end in another
};

part sorted(part its) {
  std::ranges::sort(its.lines, [](const line& a, const line& b) { return a < b; });
  return its;
}

/// Divides the input into parts.
class splitter {
 public:
  splitter(queue_type& queue, const asioq::file& in, std::size_t memory)
      : block_size_(queue.options().buffer_size), memory_(memory), source_(queue, in, {.max_ahead = 8 * block_size_}) {}

  /// The next part. It has no lines at the end of the input.
  part next() {
    part its;
    std::size_t split = 0;
    while (its.blocks.size() * block_size_ + split + its.lines.capacity() * sizeof(line) < memory_) {
      asioq::asio_request block = source_.take();
      if (!block && rest_.empty()) break;
      std::string_view text = block ? text_of(block.data()) : "\n";  // which the last line need not have
      if (!rest_.empty()) {
        const std::size_t size = std::min(text.find('\n'), text.size() - 1) + 1;
        rest_ += text.substr(0, size);
        text.remove_prefix(size);
        if (rest_.back() != '\n') continue;
        split += rest_.size();
        std::string_view whole = its.split.emplace_back(std::exchange(rest_, {}));
        its.lines.push_back(cut_line(whole));
      }
      while (const line each = cut_line(text)) its.lines.push_back(each);
      rest_ = text;
      if (block) its.blocks.push_back(std::move(block));
    }
    return its;
  }

  [[nodiscard]] std::uint64_t position() const { return source_.position(); }

 private:
  std::size_t block_size_;
  std::size_t memory_;
  reader_type source_;
  std::string rest_;  // the beginning of a line
};

/// A sorted part, or a run: a temporary file with a reader.
class sorted_lines {
 public:
  explicit sorted_lines(part&& its) : part_(std::move(its)) {}
  sorted_lines(queue_type& queue, asioq::file&& run, std::size_t max_ahead) : run_(std::move(run)) {
    source_.emplace(queue, *run_, asioq::reader_options{.max_ahead = max_ahead});
  }

  /// The next line, valid until the next call.
  line next() {
    if (!source_) {
      // The texts are scattered over the memory.
      if (next_ + 16 < part_.lines.size()) __builtin_prefetch(part_.lines[next_ + 16].text.data());
      return next_ < part_.lines.size() ? part_.lines[next_++] : line();
    }
    if (const line its = cut_line(rest_)) return its;
    for (joined_ = rest_; joined_.empty() || joined_.back() != '\n';) {
      rest_ = text_of(source_->next());
      if (rest_.empty()) return {};
      const std::size_t size = std::min(rest_.find('\n'), rest_.size() - 1) + 1;
      joined_ += rest_.substr(0, size);
      rest_.remove_prefix(size);
    }
    std::string_view whole = joined_;
    return cut_line(whole);
  }

 private:
  part part_;
  std::size_t next_ = 0;
  std::optional<asioq::file> run_;
  std::optional<reader_type> source_;
  std::string_view rest_;  // of the block
  std::string joined_;     // a line that begins in one block and ends in another
};

struct unlinker {
  const char* name;
  ~unlinker() { ::unlink(name); }
};

class external_sort {
 public:
  external_sort(queue_type& queue, std::size_t memory, fs::path directory)
      : queue_(queue), block_size_(queue.options().buffer_size), memory_(memory), directory_(std::move(directory)) {}

  void sort(const asioq::file& in, const asioq::file& out) {
    const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
    splitter source(queue_, in, memory_ / (threads + 1));
    for (part next = source.next(); !next.lines.empty(); next = source.next()) {
      sorting_.push_back(std::async(std::launch::async, sorted, std::move(next)));
      if (sorting_.size() > threads) write_oldest();
      if (!runs_.empty() && runs_.size() + sorting_.size() >= most_runs) merge_runs(most_runs / 2);
      shown_.show(source.position() >> 20U, in.size() >> 20U, "MiB read");
    }
    if (runs_.empty()) {
      for (; !sorting_.empty(); sorting_.pop_front()) sources_.emplace_back(sorting_.front().get());
    } else {
      merge_runs(most_merged());
      open_runs(runs_.size());
    }
    // Not earlier: it may be the input.
    if (fs::is_regular_file(out.path())) fs::resize_file(out.path(), 0);
    merge_into(out);
  }

 private:
  static constexpr std::size_t most_runs = 128;  // each is an open descriptor

  /// The most runs that are merged at a time: each reader needs a few blocks.
  [[nodiscard]] std::size_t most_merged() const {
    return std::clamp<std::size_t>(memory_ / block_size_ / 4, 2, most_runs / 2);
  }

  /// Merges the oldest runs until at most `count` are left. First writes what is in memory, since the merges need that
  /// memory.
  void merge_runs(std::size_t count) {
    while (!sorting_.empty()) write_oldest();
    for (; runs_.size() > count; merge_into_run()) open_runs(most_merged());
  }

  void write_oldest() {
    sources_.emplace_back(sorting_.front().get());
    sorting_.pop_front();
    merge_into_run();
  }

  /// Makes sources of the oldest runs.
  void open_runs(std::size_t count) {
    for (; sources_.size() < count; runs_.pop_front())
      sources_.emplace_back(queue_, std::move(runs_.front()), memory_ / count - block_size_);
  }

  /// Makes a file without a name, so that it vanishes with its descriptor, whatever happens.
  [[nodiscard]] asioq::file make_run() const {
    std::string name = directory_ / "external_sort-XXXXXX";
    const int fd = ::mkstemp(name.data());
    if (fd < 0) throw std::system_error(errno, std::system_category(), "making " + name);
    ::close(fd);
    const unlinker at_the_end{name.c_str()};
    return asioq::file::open_for_writing(name);
  }

  void merge_into_run() {
    asioq::file run = make_run();
    merge_into(run);
    runs_.push_back(std::move(run));
  }

  void merge_into(const asioq::file& to) {
    struct head {
      line first;
      sorted_lines* source;
      bool operator<(const head& other) const { return other.first < first; }  // the top is the greatest
    };
    std::priority_queue<head> heads;
    for (sorted_lines& each : sources_)
      if (const line first = each.next()) heads.push({first, &each});

    asioq::writer sink{queue_, to, {.max_behind = 4 * block_size_}};
    std::size_t lines = 0;
    while (!heads.empty()) {
      head least = heads.top();
      heads.pop();
      do {
        sink.write(std::as_bytes(std::span(least.first.text.data(), least.first.text.size() + 1)));
        least.first = least.source->next();
        if (++lines % 4096 == 0) shown_.show(sink.position() >> 20U, 0, "MiB written");
      } while (least.first && (heads.empty() || !(least < heads.top())));
      if (least.first) heads.push(least);
    }
    sink.close();
    sources_.clear();
  }

  queue_type& queue_;
  std::size_t block_size_;
  std::size_t memory_;
  fs::path directory_;
  std::deque<std::future<part>> sorting_;
  std::deque<asioq::file> runs_;
  std::deque<sorted_lines> sources_;
  progress shown_;
};

}  // namespace

int main(int argc, char** argv) try {
  std::size_t memory = 256;
  fs::path directory;
  for (int option = 0; (option = ::getopt(argc, argv, "m:t:")) != -1;) {
    if (option == 'm') memory = number_in(optarg);
    if (option == 't') directory = optarg;
    if (option == '?') {
      memory = 0;
      break;
    }
  }
  if (memory == 0 || memory > 1 << 20 || argc - optind != 2) {
    std::fprintf(stderr, "usage: external_sort [-m MEMORY_MIB] [-t DIRECTORY_OF_TEMPORARY_FILES] INPUT OUTPUT\n");
    return 2;
  }
  memory <<= 20U;
  if (directory.empty()) directory = fs::temp_directory_path();
  const asioq::file in = asioq::file::open_for_reading(argv[optind]);
  asioq::file out = asioq::file::open_for_writing(argv[optind + 1]);
  asioq::thread_pool pool{8};
  queue_type queue{pool.executor(),
                   {.buffer_size = std::clamp<std::size_t>(std::bit_floor(memory / 64), 4096, 1 << 20),
                    .order = asioq::execution_order::as_if_serial}};
  external_sort(queue, memory, directory).sort(in, out);
  out.close();
} catch (const std::exception& error) {
  std::fprintf(stderr, "external_sort: %s\n", error.what());
  return 1;
}
