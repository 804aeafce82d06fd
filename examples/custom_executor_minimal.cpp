// Shows the smallest executor that makes sense: it collects tasks, and the program's own loop runs them.
#include <asioq/asioq.hpp>

#include <cstdio>
#include <deque>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string_view>
#include <utility>

// What an executor refers to, here the tasks to do, belongs to the program and must outlive the queue.
struct event_loop {
  std::deque<asioq::task> tasks;

  bool run_one() {
    if (tasks.empty()) return false;
    const asioq::task next = tasks.front();
    tasks.pop_front();
    next();
    return true;
  }
};

// The executor itself is a handle: copyable, comparable, and able to take a task.
struct loop_executor {
  event_loop* loop;

  void execute(asioq::task work) const { loop->tasks.push_back(work); }  // if this throws, the task is not taken
  bool operator==(const loop_executor&) const = default;
};
static_assert(asioq::executor<loop_executor>);

int main() try {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) throw std::runtime_error("no temporary file");
  const int fd = ::fileno(file);

  event_loop loop;
  asioq::basic_asio_queue<loop_executor> queue{loop_executor{&loop}, {.buffer_size = 4096}};
  for (int i = 0; i < 3; ++i) {
    asioq::asio_request request = queue.get();
    request.buffer()[0] = std::byte('a' + i);
    request.prepare_write(fd, 1);  // at the file's own position: one after another
    queue.submit(std::move(request));
  }
  bool right = queue.running_requests() == 3 && loop.tasks.size() == 1;  // one task serves all three

  while (loop.run_one()) {
  }
  int finished = 0;
  while (const asioq::asio_request done = queue.try_wait()) finished += done.error() ? 0 : 1;

  char text[4] = {};
  right = right && std::fseek(file, 0, SEEK_SET) == 0 && std::fread(text, 1, sizeof text, file) == 3;
  std::fclose(file);
  std::cout << finished << " writes made " << text << '\n';
  if (!right || finished != 3 || std::string_view(text) != "abc") throw std::runtime_error("a write has failed");
} catch (const std::exception& error) {
  std::cerr << "custom_executor_minimal: " << error.what() << '\n';
  return 1;
}
