#include <asioq/operation.hpp>

#include "catch.hpp"
#include "files.hpp"

#include <array>
#include <set>
#include <string>

using namespace asioq_test;
using asioq::asio_op;
using asioq::perform;
using asioq::traits_of;

namespace {

constexpr std::array all_operations = {asio_op::read,      asio_op::write,    asio_op::write_back, asio_op::fsync,
                                       asio_op::fdatasync, asio_op::truncate, asio_op::allocate,   asio_op::close};

class step : public asioq::io_operation {
 public:
  step(asio_op op, int fd, std::string& text, std::uint64_t offset) {
    describe(op, fd, reinterpret_cast<std::byte*>(text.data()), text.size(), offset);
  }
  step(asio_op op, int fd, std::uint64_t length, std::uint64_t offset) { describe(op, fd, nullptr, length, offset); }
};

}  // namespace

TEST_CASE("the table says of each operation what it does to data", "[operation]") {
  for (const asio_op op : {asio_op::read, asio_op::write, asio_op::write_back}) {
    CHECK(traits_of(op).transfers);
    CHECK(traits_of(op).of_a_range);
  }
  for (const asio_op op : {asio_op::fsync, asio_op::fdatasync, asio_op::truncate, asio_op::allocate, asio_op::close}) {
    CHECK_FALSE(traits_of(op).transfers);
    CHECK_FALSE(traits_of(op).of_a_range);  // so it conflicts with everything on its file
  }
  for (const asio_op op : all_operations) {
    CHECK(traits_of(op).is_sync == (op == asio_op::fsync || op == asio_op::fdatasync));
    CHECK(traits_of(op).ends_number == (op == asio_op::close));
    CHECK(traits_of(op).may_lose == (op != asio_op::read));
  }
  for (const asio_op op : {asio_op::write, asio_op::write_back, asio_op::truncate, asio_op::allocate})
    CHECK(traits_of(op).writes);
  for (const asio_op op : {asio_op::read, asio_op::fsync, asio_op::fdatasync, asio_op::close})
    CHECK_FALSE(traits_of(op).writes);
}

TEST_CASE("each operation has a name of its own", "[operation]") {
  std::set<std::string> names = {traits_of(asio_op::free).name};
  for (const asio_op op : all_operations) names.insert(traits_of(op).name);
  CHECK(names.size() == all_operations.size() + 1);
  CHECK(names.count("unknown") == 0);
}

TEST_CASE("perform does what the operation says and answers like the kernel", "[operation]") {
  const descriptor file = temp_file_with("0123456789");
  std::string text = "abc";
  CHECK(perform(step(asio_op::write, file.get(), text, 8)) == 3);
  CHECK(contents(file) == "01234567abc");
  CHECK(perform(step(asio_op::read, file.get(), text, 9)) == 2);
  CHECK(text == "bcc");
  CHECK(perform(step(asio_op::read, file.get(), text, asioq::current_position)) == 3);
  CHECK(text == "012");
  CHECK(perform(step(asio_op::write_back, file.get(), text, asioq::current_position)) == 3);
  CHECK(contents(file) == "01201267abc");
  CHECK(perform(step(asio_op::truncate, file.get(), 0, 4)) == 0);
  CHECK(contents(file) == "0120");
  CHECK(perform(step(asio_op::allocate, file.get(), 7, 2)) == 0);
  CHECK(contents(file) == std::string("0120") + std::string(5, '\0'));
  CHECK(perform(step(asio_op::fsync, file.get(), 0, asioq::current_position)) == 0);
  CHECK(perform(step(asio_op::fdatasync, file.get(), 0, asioq::current_position)) == 0);
  descriptor again = reopen(file, O_RDWR);
  CHECK(perform(step(asio_op::close, again.get(), 0, asioq::current_position)) == 0);
  CHECK(::fcntl(again.get(), F_GETFD) == -1);
}

TEST_CASE("perform answers with an errno value, negated", "[operation]") {
  std::string text = "abc";
  for (const asio_op op : all_operations) {
    CHECK(perform(op, 1'000'000'000, reinterpret_cast<std::byte*>(text.data()), 3, 0) == -EBADF);
  }
  const descriptor full = open_path("/dev/full", O_RDWR);
  CHECK(perform(step(asio_op::write, full.get(), text, 0)) == -ENOSPC);
  const descriptor read_only = reopen(temp_file(), O_RDONLY);
  CHECK(perform(step(asio_op::truncate, read_only.get(), 0, 1)) == -EINVAL);
  CHECK(perform(step(asio_op::allocate, read_only.get(), 1, 1)) == -EBADF);
}
