// Shows the life of a request: get it, prepare it, submit it, wait for it.
#include <asioq/asioq.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

int main() try {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) throw std::runtime_error("no temporary file");
  const int fd = ::fileno(file);
  constexpr std::string_view greeting = "Hello, queue!";

  asioq::asio_queue queue{{.buffer_size = 4096}};

  asioq::asio_request write = queue.get();
  std::ranges::transform(greeting, write.buffer().begin(), [](char c) { return std::byte(c); });
  write.prepare_write(fd, greeting.size(), 0);
  queue.submit(std::move(write));

  asioq::asio_request read = queue.get();
  read.prepare_read(fd, read.buffer().size(), 0);
  queue.submit(std::move(read));  // runs after the write, because it was submitted after it

  const asioq::asio_request written = queue.wait();  // comes back in the same order
  const asioq::asio_request answer = queue.wait();
  std::fclose(file);
  if (written.error()) throw std::system_error(written.error(), "write");
  if (answer.error()) throw std::system_error(answer.error(), "read");

  const std::string_view text(reinterpret_cast<const char*>(answer.data().data()), answer.data().size());
  std::cout << text << '\n';
  if (text != greeting) throw std::runtime_error("what was read is not what was written");
} catch (const std::exception& error) {
  std::cerr << "hello_queue: " << error.what() << '\n';
  return 1;
}
