#include "catch.hpp"
#include "every_executor.hpp"
#include "requests.hpp"

using namespace asioq_test;
using asioq::asio_op;

TEST_CASE("finished requests come back in the order of their submission", "[order]") {
  on_every_executor([](const auto& world) {
    const descriptor one = temp_file_with(pattern(4096));
    const descriptor two = temp_file();
    auto queue = world.queue({.buffer_size = 4096});
    for (int i = 0; i < 60; ++i) {
      queue.submit(read_of(queue, one, 100, 7));
      queue.submit(write_of(queue, two, "0123456789", 0));
      queue.submit(fsync_of(queue, two));
    }
    const std::vector<outcome> all = drain(queue);
    REQUIRE(all.size() == 180);
    const asio_op ops[] = {asio_op::read, asio_op::write, asio_op::fsync};
    std::size_t right = 0;
    for (std::size_t i = 0; i < all.size(); ++i)
      right += all[i].sequence == i && all[i].op == ops[i % 3] && !all[i].error ? 1 : 0;
    CHECK(right == 180);
  });
}

TEST_CASE("a sequence number counts every submission of its queue", "[order]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    auto other = world.queue({.buffer_size = 512});
    queue.submit(write_back_of(queue, file, "a", 0));
    other.submit(read_of(other, file, 0, 0));
    queue.submit(write_back_of(queue, file, "b", 1));
    CHECK_THROWS_AS(queue.submit(asioq::asio_request{}), std::invalid_argument);
    queue.submit(read_of(queue, file, 2, 0));
    asioq::asio_request done = queue.wait();
    CHECK(done.sequence() == 2);
    queue.submit(std::move(done));
    CHECK(queue.wait().sequence() == 3);
    CHECK(other.wait().sequence() == 0);
  });
}

TEST_CASE("overlapping writes leave what the last of them wrote", "[order]") {
  on_every_executor([](const auto& world) {
    auto random = random_source(1);
    INFO("seed " << run_seed());
    const descriptor file = temp_file();
    std::string model;
    auto queue = world.queue({.buffer_size = 4096, .max_writebacks = 5});
    for (unsigned i = 0; i < 150; ++i) {
      const std::size_t offset = below(random, 2000);
      const std::string text = pattern(1 + below(random, 3000), i);
      if (model.size() < offset + text.size()) model.resize(offset + text.size());
      model.replace(offset, text.size(), text);
      if (i % 3 == 0)
        queue.submit(write_of(queue, file, text, offset));
      else
        queue.submit(write_back_of(queue, file, text, offset));
    }
    CHECK(drain(queue).size() == 50);
    CHECK(contents(file) == model);
  });
}

TEST_CASE("a read sees all writes submitted before it and none submitted after it", "[order]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file_with("none");
    auto queue = world.queue({.buffer_size = 512, .max_writebacks = 3});
    std::vector<std::string> expected;
    std::string now = "none";
    for (int i = 0; i < 100; ++i) {
      queue.submit(read_of(queue, file, 4, 0));
      expected.push_back(now);
      now = std::to_string(1000 + i);
      queue.submit(write_back_of(queue, file, now, 0));
    }
    std::vector<std::string> seen;
    for (const outcome& one : drain(queue)) seen.push_back(one.data);
    CHECK(seen == expected);
    CHECK(contents(file) == now);
  });
}

TEST_CASE("requests at the file's own position move it one after another", "[order]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    std::string expected;
    for (int i = 0; i < 100; ++i) {
      const std::string text = std::to_string(i) + ",";
      expected += text;
      if (i % 2 == 0)
        queue.submit(write_of(queue, file, text));
      else
        queue.submit(write_back_of(queue, file, text));
    }
    CHECK(drain(queue).size() == 50);
    CHECK(contents(file) == expected);

    REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
    for (int i = 0; i < 30; ++i) queue.submit(read_of(queue, file, 10));
    std::string seen;
    for (const outcome& one : drain(queue)) seen += one.data;
    CHECK(seen == expected.substr(0, 300));
  });
}

TEST_CASE("queues that share an executor keep their own orders", "[order]") {
  on_every_executor([](const auto& world) {
    using queue_type = decltype(world.queue());
    constexpr std::size_t count = 6;
    std::vector<descriptor> files;
    std::vector<std::unique_ptr<queue_type>> queues;
    for (std::size_t i = 0; i < count; ++i) {
      files.push_back(temp_file());
      queues.push_back(std::make_unique<queue_type>(world.executor, asioq::queue_options{.buffer_size = 512}));
    }
    std::string expected;
    for (int step = 0; step < 60; ++step) {
      const std::string text = std::to_string(step) + ";";
      expected += text;
      for (std::size_t i = 0; i < count; ++i) queues[i]->submit(write_of(*queues[i], files[i], text));
    }
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(drain(*queues[i]).size() == 60);
      CHECK(contents(files[i]) == expected);
    }
  });
}

TEST_CASE("a successful write-back does not come back, a wait for nothing else is empty", "[order][write_back]") {
  on_every_executor([](const auto& world) {
    const descriptor file = temp_file();
    auto queue = world.queue({.buffer_size = 512});
    CHECK_FALSE(queue.wait());
    for (std::uint64_t i = 0; i < 40; ++i) queue.submit(write_back_of(queue, file, "x", i));
    CHECK_FALSE(queue.wait());
    CHECK(queue.running_requests() == 0);
    CHECK(queue.running_writebacks() == 0);
    CHECK(contents(file) == std::string(40, 'x'));
  });
}
