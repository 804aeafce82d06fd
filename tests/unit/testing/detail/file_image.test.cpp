#include <asioq/testing/detail/file_image.hpp>

#include <string>
#include <string_view>
#include <utility>

#include "catch.hpp"

using asioq::testing::detail::file_image;

namespace {

constexpr std::size_t sector = 4;
const auto yes = [] { return true; };
const auto no = [] { return false; };

std::string text_of(const file_image::bytes& content) {
  std::string text;
  for (const std::byte byte : content) text += byte == std::byte{0} ? '.' : static_cast<char>(byte);
  return text;
}

void write(file_image& image, std::uint64_t offset, std::string_view text) {
  image.write(offset, std::as_bytes(std::span(text)));
}

void sync(file_image& image) { image.commit(image.dirty(), yes); }

std::string after_crash(file_image image, bool keeps_new) {
  image.crash([&] { return keeps_new; });
  return text_of(image.contents());
}

}  // namespace

TEST_CASE("a file is read as it was written, with zeros in its holes", "[testing]") {
  file_image image(sector);
  write(image, 10, "abc");
  CHECK(text_of(image.contents()) == "..........abc");
  CHECK(image.reserved() == 2);
  image.resize(11);
  image.resize(14);
  CHECK(text_of(image.contents()) == "..........a...");
  CHECK(image.reserved() == 1);
  std::vector<std::byte> some(10);
  CHECK(image.read(9, some) == 5);
  CHECK(image.read(14, some) == 0);
}

TEST_CASE("a power cut keeps old or new, and what is synced stays", "[testing]") {
  file_image image(sector);
  write(image, 0, "aaaabbbb");
  sync(image);
  CHECK(after_crash(image, false) == "aaaabbbb");
  write(image, 2, "cccc");
  CHECK(after_crash(image, false) == "aaaabbbb");
  CHECK(after_crash(image, true) == "aaccccbb");
  bool keeps = false;
  file_image torn = image;
  torn.crash([&] { return keeps = !keeps; });
  CHECK(text_of(torn.contents()) == "aaccbbbb");
  CHECK(text_of(image.durable()) == "aaaabbbb");
}

TEST_CASE("a sync covers what was written before it began", "[testing]") {
  file_image image(sector);
  write(image, 0, "aaaa");
  const file_image::dirty_state found = image.dirty();
  write(image, 0, "bbbb");
  write(image, 4, "cccc");
  image.commit(found, yes);
  CHECK(after_crash(image, false) == "aaaa");
  CHECK(after_crash(image, true) == "bbbbcccc");
  sync(image);
  image.commit(found, yes);  // an older sync that ends later takes nothing back
  CHECK(after_crash(image, false) == "bbbbcccc");
}

TEST_CASE("what a failed sync drops is read, and no later sync covers it", "[testing]") {
  file_image image(sector);
  write(image, 0, "aaaa");
  sync(image);
  write(image, 0, "bbbb");
  image.commit(image.dirty(), no);
  CHECK(text_of(image.contents()) == "bbbb");
  sync(image);
  CHECK(after_crash(image, true) == "aaaa");
  write(image, 1, "c");  // makes the sector dirty again
  sync(image);
  CHECK(after_crash(image, false) == "bcbb");
}

TEST_CASE("a size that a failed sync has dropped comes back with what is written there again", "[testing]") {
  file_image image(sector);
  write(image, 0, "aaaa");
  sync(image);
  write(image, 4, "bbbb");
  image.commit(image.dirty(), no);
  write(image, 0, "c");
  sync(image);
  CHECK(after_crash(image, true) == "caaa");
  write(image, 4, "bbbb");
  sync(image);
  CHECK(after_crash(image, false) == "caaabbbb");
}

TEST_CASE("the size after a power cut is the old or the new one", "[testing]") {
  file_image image(sector);
  write(image, 0, "aaaabb");
  sync(image);
  SECTION("it has grown") {
    write(image, 6, "cccccc");
    CHECK(after_crash(image, false) == "aaaabb");
    CHECK(after_crash(image, true) == "aaaabbcccccc");
    bool keeps = false;
    image.crash([&] { return keeps = !keeps; });  // the size, and every other sector
    CHECK(text_of(image.contents()) == "aaaabb..cccc");
  }
  SECTION("it has grown, and there is nothing beyond the old one") {
    write(image, 6, "cccccc");
    bool is_size = true;
    image.crash([&] { return !std::exchange(is_size, false); });
    CHECK(text_of(image.contents()) == "aaaabb");
    image.resize(8);
    CHECK(text_of(image.contents()) == "aaaabb..");
  }
  SECTION("it has shrunk: a truncate has happened or not") {
    image.resize(2);
    CHECK(after_crash(image, false) == "aaaabb");
    CHECK(after_crash(image, true) == "aa");
    bool keeps = true;
    image.crash([&] { return keeps = !keeps; });  // the old size, and new sectors
    CHECK(text_of(image.contents()) == "aaaabb");
  }
  SECTION("what a synced truncate has cut off does not come again") {
    image.resize(2);
    sync(image);
    image.resize(8);
    CHECK(after_crash(image, true) == "aa......");
    CHECK(after_crash(image, false) == "aa");
  }
  SECTION("nor does it if the sync has failed, and only the size has become durable") {
    image.resize(2);
    bool is_size = true;
    image.commit(image.dirty(), [&] { return std::exchange(is_size, false); });
    image.resize(6);
    sync(image);
    CHECK(after_crash(image, false) == "aa....");
  }
}

TEST_CASE("there is room for as many sectors as are free", "[testing]") {
  file_image image(sector);
  write(image, 4, "aaaa");
  CHECK(image.room(0, 12, 0) == 0);
  CHECK(image.room(0, 12, 1) == 8);
  CHECK(image.room(2, 9, 2) == 9);
  CHECK(image.room(5, 2, 0) == 2);
  image.allocate(0, 9);
  CHECK(image.size() == 9);
  CHECK(image.reserved() == 3);
  CHECK(text_of(image.contents()) == "....aaaa.");
  CHECK(image.room(0, 12, 0) == 12);
}
