// Writes a file through a queue and reads it back.
#include <asioq/asioq.hpp>

#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

int main() {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) return 1;
  const int fd = fileno(file);
  constexpr std::string_view text = "written and read by asioq";

  asioq::asio_queue queue{{.buffer_size = 4096}};
  asioq::asio_request write = queue.get();
  std::memcpy(write.buffer().data(), text.data(), text.size());
  write.prepare_write_back(fd, text.size(), 0);
  queue.submit(std::move(write));

  asioq::asio_request read = queue.get();
  read.prepare_read(fd, read.buffer().size(), 0);
  queue.submit(std::move(read));

  const asioq::asio_request done = queue.wait();
  const bool same = done.data().size() == text.size() && std::memcmp(done.data().data(), text.data(), text.size()) == 0;
  std::fclose(file);
  return same ? 0 : 1;
}
