// A file system whose only purpose is to be odd: fuse_disk MOUNTPOINT STEP FAIL SIZE
//
// - data: SIZE bytes that repeat 0 to 250; a message transfers at most STEP bytes; at FAIL and behind it there is EIO
// - writes: its size is the number of write messages so far
// - chat: two times 512 bytes, of which the second half can be read only when something has been written to chat
// - noisy0 to noisy2: keep what is written to them. Each message about their contents takes some time, so that it may
//   be overtaken. One in so many fails and has no effect, as the last number written to noise says; 0: none
// - failures: its size is the number of messages that failed so, but those to sync
#define FUSE_USE_VERSION 31

#include <fuse.h>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace {

off_t step = 0;
off_t fails_at = 0;
off_t size = 0;
std::atomic<off_t> writes = 0;
std::atomic<bool> may_go_on = false;

std::array<std::string, 3> contents;
std::mutex contents_mutex;
std::atomic<std::uint64_t> one_in = 0;
std::atomic<std::uint64_t> messages = 0;
std::atomic<off_t> failures = 0;

/// The contents of a noisy file; null if it is none.
std::string* noisy(std::string_view name) {
  constexpr std::string_view prefix = "/noisy";
  if (name.size() != prefix.size() + 1 || !name.starts_with(prefix)) return nullptr;
  const auto number = static_cast<std::size_t>(name.back() - '0');
  return number < contents.size() ? &contents[number] : nullptr;
}

/// Takes its time. Returns whether the message fails.
bool makes_noise() {
  std::uint64_t dice = messages.fetch_add(1) + 1;  // splitmix64
  dice = (dice ^ (dice >> 30U)) * 0xbf58476d1ce4e5b9U;
  dice = (dice ^ (dice >> 27U)) * 0x94d049bb133111ebU;
  dice ^= dice >> 31U;
  const std::uint64_t noise = one_in.load();
  if (noise == 0) return false;
  std::this_thread::sleep_for(std::chrono::microseconds(dice % 8 == 0 ? 1000 : (dice >> 8U) % 100));
  return (dice >> 32U) % noise == 0;
}

/// As a message about a noisy file: calls `change` if it does not fail.
template <class Change>
int carry_out(Change change) {
  if (makes_noise()) {
    failures.fetch_add(1);
    return -EIO;
  }
  const std::lock_guard lock(contents_mutex);
  return change();
}

int look_at(const char* path, struct stat* status, fuse_file_info*) {
  const std::string_view name(path);
  *status = {};
  status->st_mode = S_IFREG | 0600;
  status->st_nlink = 1;
  if (name == "/") status->st_mode = S_IFDIR | 0700;
  if (name == "/data") status->st_size = size;
  if (name == "/writes") status->st_size = writes.load();
  if (name == "/chat") status->st_size = 1024;
  if (name == "/failures") status->st_size = failures.load();
  if (const std::string* const its = noisy(name)) {
    const std::lock_guard lock(contents_mutex);
    status->st_size = static_cast<off_t>(its->size());
    return 0;
  }
  constexpr std::array<std::string_view, 6> names{"/", "/data", "/writes", "/chat", "/noise", "/failures"};
  return std::ranges::find(names, name) != names.end() ? 0 : -ENOENT;
}

int open_file(const char*, fuse_file_info* file) {
  file->direct_io = 1;
  return 0;
}

/// How much of a transfer may be done, or why nothing.
off_t part(off_t length, off_t offset) {
  if (offset >= fails_at) return -EIO;
  return std::min({length, step, fails_at - offset});
}

int read_file(const char* path, char* data, std::size_t length, off_t offset, fuse_file_info*) {
  if (const std::string* const its = noisy(path)) {
    return carry_out([&] {
      const std::string part =
          offset < static_cast<off_t>(its->size()) ? its->substr(static_cast<std::size_t>(offset), length) : "";
      std::ranges::copy(part, data);
      return static_cast<int>(part.size());
    });
  }
  if (std::string_view(path) == "/chat") {
    const off_t end = offset + static_cast<off_t>(length);
    if (end > 512) may_go_on.wait(false);
    const off_t count = std::max<off_t>(0, std::min<off_t>(end, 1024) - offset);
    std::memset(data, 'c', static_cast<std::size_t>(count));
    return static_cast<int>(count);
  }
  off_t count = std::min(static_cast<off_t>(length), std::max<off_t>(0, size - offset));
  if (count > 0) count = part(count, offset);
  for (off_t i = 0; i < count; ++i) data[i] = static_cast<char>((offset + i) % 251);
  return static_cast<int>(count);
}

int write_file(const char* path, const char* data, std::size_t length, off_t offset, fuse_file_info*) {
  if (std::string_view(path) == "/noise") {
    one_in.store(std::stoull(std::string(data, length)));
    return static_cast<int>(length);
  }
  if (std::string* const its = noisy(path)) {
    return carry_out([&] {
      const auto place = static_cast<std::size_t>(offset);
      its->resize(std::max(its->size(), place + length));
      its->replace(place, length, data, length);
      return static_cast<int>(length);
    });
  }
  if (std::string_view(path) == "/chat") {
    may_go_on.store(true);
    may_go_on.notify_all();
    return static_cast<int>(length);
  }
  writes.fetch_add(1);
  const off_t count = part(static_cast<off_t>(length), offset);
  size = std::max(size, offset + count);
  return static_cast<int>(count);
}

int truncate_file(const char* path, off_t length, fuse_file_info*) {
  std::string* const its = noisy(path);
  if (its == nullptr) return 0;
  return carry_out([&] {
    its->resize(static_cast<std::size_t>(length));
    return 0;
  });
}

int allocate_in_file(const char* path, int mode, off_t offset, off_t length, fuse_file_info*) {
  std::string* const its = noisy(path);
  if (its == nullptr || mode != 0) return -EOPNOTSUPP;
  return carry_out([&] {
    its->resize(std::max(its->size(), static_cast<std::size_t>(offset + length)));
    return 0;
  });
}

int sync_file(const char* path, int, fuse_file_info*) { return noisy(path) != nullptr && makes_noise() ? -EIO : 0; }

void* initialise(fuse_conn_info*, fuse_config* config) {
  config->attr_timeout = 0;
  config->entry_timeout = 0;
  return nullptr;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) return 2;
  step = std::atoll(arguments[2]);
  fails_at = std::atoll(arguments[3]);
  size = std::atoll(arguments[4]);
  fuse_operations operations{};
  operations.getattr = look_at;
  operations.open = open_file;
  operations.read = read_file;
  operations.write = write_file;
  operations.truncate = truncate_file;
  operations.fallocate = allocate_in_file;
  operations.fsync = sync_file;
  operations.init = initialise;
  std::string foreground = "-f";
  char* all[] = {arguments[0], foreground.data(), arguments[1]};
  return ::fuse_main(3, all, &operations, nullptr);
}
