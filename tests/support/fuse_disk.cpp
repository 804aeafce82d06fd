// A file system whose only purpose is to be odd: fuse_disk MOUNTPOINT STEP FAIL SIZE
//
// - data: SIZE bytes that repeat 0 to 250; a message transfers at most STEP bytes; at FAIL and behind it there is EIO
// - writes: its size is the number of write messages so far
// - chat: two times 512 bytes, of which the second half can be read only when something has been written to chat
#define FUSE_USE_VERSION 31

#include <fuse.h>

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

off_t step = 0;
off_t fails_at = 0;
off_t size = 0;
std::atomic<off_t> writes = 0;
std::atomic<bool> may_go_on = false;

int look_at(const char* path, struct stat* status, fuse_file_info*) {
  const std::string_view name(path);
  *status = {};
  status->st_mode = S_IFREG | 0600;
  status->st_nlink = 1;
  if (name == "/") status->st_mode = S_IFDIR | 0700;
  if (name == "/data") status->st_size = size;
  if (name == "/writes") status->st_size = writes.load();
  if (name == "/chat") status->st_size = 1024;
  return name == "/" || name == "/data" || name == "/writes" || name == "/chat" ? 0 : -ENOENT;
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

int write_file(const char* path, const char*, std::size_t length, off_t offset, fuse_file_info*) {
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

int truncate_file(const char*, off_t, fuse_file_info*) { return 0; }

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
  operations.init = initialise;
  std::string foreground = "-f";
  char* all[] = {arguments[0], foreground.data(), arguments[1]};
  return ::fuse_main(3, all, &operations, nullptr);
}
