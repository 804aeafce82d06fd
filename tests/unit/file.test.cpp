#include <asioq/file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "catch.hpp"
#include "faults.hpp"
#include "files.hpp"
#include "mounts.hpp"

using namespace asioq_test;
using asioq::direct_io;
using asioq::file;

static_assert(std::is_nothrow_move_constructible_v<file> && std::is_nothrow_move_assignable_v<file>);
static_assert(!std::is_copy_constructible_v<file> && !std::is_copy_assignable_v<file>);

namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
int flags_of(const file& its) { return ::fcntl(its.fd(), F_GETFL); }

/// What `function` throws says all of `parts`.
template <class Function>
void check_says(Function function, std::errc code, const std::vector<std::string>& parts) {
  try {
    function();
    FAIL("nothing was thrown");
  } catch (const std::system_error& error) {
    CHECK(error.code() == code);
    for (const std::string& part : parts) {
      INFO(error.what() << " should say " << part);
      CHECK(std::string(error.what()).find(part) != std::string::npos);
    }
  }
}

}  // namespace

TEST_CASE("a file is opened, made and emptied as its function says", "[file]") {
  const temp_dir dir;
  const auto path = dir.path() / "file";
  CHECK_THROWS_AS(file::open_for_reading(path), std::system_error);
  {
    const file made = file::open_for_writing(path);
    CHECK(made.fd() >= 0);
    CHECK(made.path() == path);
    CHECK(made.size() == 0);
    CHECK((::fcntl(made.fd(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((flags_of(made) & O_ACCMODE) == O_RDWR);
    REQUIRE(::ftruncate(made.fd(), 5000) == 0);
    CHECK(made.size() == 5000);
  }
  CHECK(file::open_for_writing(path).size() == 5000);
  {
    const file its = file::open_for_reading(path);
    CHECK(its.size() == 5000);
    CHECK((flags_of(its) & O_ACCMODE) == O_RDONLY);
  }
  {
    const file emptied = file::create(path);
    CHECK(emptied.size() == 0);
    CHECK((flags_of(emptied) & O_ACCMODE) == O_RDWR);
  }
  CHECK(file::create((dir.path() / "new").string()).size() == 0);
  struct stat status{};
  REQUIRE(::stat((dir.path() / "new").c_str(), &status) == 0);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  CHECK((status.st_mode & 0777U) == (0666U & ~mask));
}

TEST_CASE("a file says whether it is direct, and how its transfers have to be aligned", "[file]") {
  const std::optional<descriptor> direct = direct_file();
  if (!direct) {
    WARN(no_direct_io);
    return;
  }
  const std::string path = "/proc/self/fd/" + std::to_string(direct->get());
  const file its = file::open_for_writing(path);
  CHECK(its.is_direct());
  CHECK((flags_of(its) & O_DIRECT) != 0);
  CHECK(its.alignment() >= 512);
  CHECK((its.alignment() & (its.alignment() - 1)) == 0);
  alignas(4096) static const char block[8192] = {};
  CHECK(::pwrite(its.fd(), block, its.alignment(), static_cast<off_t>(its.alignment())) ==
        static_cast<ssize_t>(its.alignment()));
  CHECK(file::open_for_reading(path, direct_io::required).is_direct());
  const file cached = file::open_for_reading(path, direct_io::off);
  CHECK_FALSE(cached.is_direct());
  CHECK((flags_of(cached) & O_DIRECT) == 0);
  CHECK(cached.alignment() == 1);
}

TEST_CASE("where a file system does not tell the alignment, it is 4096", "[file]") {
  std::optional<descriptor> in_memory = file_on_small_tmpfs(1 << 16);
  if (!in_memory) {
    WARN(no_mounts);
    return;
  }
  const file its = file::open_for_writing("/proc/self/fd/" + std::to_string(in_memory->get()));
  CHECK((its.is_direct() ? its.alignment() == 4096 : its.alignment() == 1));  // Linux before 6.6: not in memory
}

TEST_CASE("where O_DIRECT is refused a file goes through the page cache, unless that is forbidden", "[file]") {
  const std::string path = "/proc/self/status";
  const file its = file::open_for_reading(path);
  CHECK_FALSE(its.is_direct());
  CHECK((flags_of(its) & O_DIRECT) == 0);
  CHECK(its.alignment() == 1);
  check_says([&] { static_cast<void>(file::open_for_reading(path, direct_io::required)); }, std::errc::invalid_argument,
             {"opening for reading", "direct", path});
  const file null = file::open_for_writing("/dev/null");  // O_DIRECT has no meaning there
  CHECK_FALSE(null.is_direct());
  CHECK(null.size() == 0);
  CHECK_FALSE(file::create("/dev/null").is_direct());
}

TEST_CASE("a file that must be direct and cannot be is not emptied", "[file]") {
  std::optional<descriptor> kept = file_on("ramfs", false);
  if (!kept) {
    WARN(no_mounts);
    return;
  }
  set_contents(*kept, "text");
  const std::string path = "/proc/self/fd/" + std::to_string(kept->get());
  if (file::open_for_reading(path).is_direct()) {
    WARN("skipped: this ramfs takes O_DIRECT");
    return;
  }
  check_says([&] { static_cast<void>(file::create(path, direct_io::required)); }, std::errc::invalid_argument, {path});
  CHECK(contents(*kept) == "text");
}

TEST_CASE("a file goes over to the page cache", "[file]") {
  const std::optional<descriptor> direct = direct_file();
  if (!direct) {
    WARN(no_direct_io);
    return;
  }
  const std::string path = "/proc/self/fd/" + std::to_string(direct->get());
  file its = file::open_for_writing(path);
  its.use_page_cache();
  CHECK_FALSE(its.is_direct());
  CHECK(its.alignment() == 1);
  CHECK((flags_of(its) & O_DIRECT) == 0);
  CHECK(::pwrite(its.fd(), "abc", 3, 1) == 3);
  file strict = file::open_for_writing(path, direct_io::required);
  check_says([&] { strict.use_page_cache(); }, std::errc::invalid_argument, {"direct I/O", path});
  CHECK(strict.is_direct());
}

TEST_CASE("what goes wrong with a file is said with the operation and the path", "[file]") {
  const temp_dir dir;
  const std::string missing = (dir.path() / "missing").string();
  check_says([&] { static_cast<void>(file::open_for_reading(missing)); }, std::errc::no_such_file_or_directory,
             {"opening for reading", missing});
  check_says([&] { static_cast<void>(file::create(dir.path())); }, std::errc::is_a_directory,
             {"opening for writing", dir.path().string()});
  file its = file::create(missing);
  ::close(its.fd());
  check_says([&] { static_cast<void>(its.size()); }, std::errc::bad_file_descriptor, {"size", missing});
  check_says([&] { its.close(); }, std::errc::bad_file_descriptor, {"closing", missing});
  CHECK(its.fd() == -1);
  its.close();
}

TEST_CASE("a file closes its descriptor once", "[file]") {
  const temp_dir dir;
  int first = -1;
  int second = -1;
  {
    file one = file::create(dir.path() / "one");
    file two = file::create(dir.path() / "two");
    first = one.fd();
    second = two.fd();
    file moved = std::move(one);
    CHECK(moved.fd() == first);
    CHECK(one.fd() == -1);  // NOLINT(bugprone-use-after-move)
    CHECK(one.alignment() == 1);
    one.close();
    CHECK(is_open(first));
    moved = std::move(two);
    CHECK_FALSE(is_open(first));
    CHECK(moved.fd() == second);
    CHECK(moved.path() == dir.path() / "two");
    file& same = moved;
    moved = std::move(same);
    CHECK(is_open(second));
    moved.close();
    CHECK_FALSE(is_open(second));
    CHECK_FALSE(moved.is_direct());
    moved = file::create(dir.path() / "three");
    second = moved.fd();
  }
  CHECK_FALSE(is_open(second));
}

TEST_CASE("a pipe opened for writing reports that its readers are gone", "[file]") {
  const signal_action ignore(SIGPIPE, SIG_IGN);
  pipe_ends pipe;
  const std::string path = "/proc/self/fd/" + std::to_string(pipe.write_end.get());
  const file made = file::create(path);
  const file found = file::open_for_writing(path);
  for (const file* its : {&made, &found}) CHECK(::write(its->fd(), "x", 1) == 1);
  pipe.read_end.reset();
  for (const file* its : {&made, &found}) {
    CHECK(::write(its->fd(), "x", 1) == -1);
    CHECK(errno == EPIPE);
  }
}

TEST_CASE("a disk has a size", "[file]") {
  const descriptor image = temp_file("/dev/shm");
  REQUIRE(::ftruncate(image.get(), 1 << 20) == 0);
  const std::optional<descriptor> device = loop_device_over(image);
  if (!device) {
    WARN(no_loop_devices);
    return;
  }
  const file its = file::open_for_writing("/proc/self/fd/" + std::to_string(device->get()));
  REQUIRE(::lseek(its.fd(), 512, SEEK_SET) == 512);
  CHECK(its.size() == 1 << 20);
  CHECK(::lseek(its.fd(), 0, SEEK_CUR) == 512);
}
