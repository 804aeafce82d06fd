// alignments FOLDER...: a row of a Markdown table for the file system of each folder. It has what statx says of direct
// transfers of a new file there, what asioq::file uses, which multiples work, and what the file uses after a writer. A
// disk may stand for a folder; what is on it is overwritten.
#include <asioq/asioq.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

namespace {

constexpr std::size_t largest = 8192;

alignas(largest) std::byte buffer[2 * largest];

/// Of offsets, of memory, and of reads if the kernel has a value of their own for these.
std::string what_statx_says([[maybe_unused]] int fd) {
#ifdef STATX_DIOALIGN
  unsigned wanted = STATX_DIOALIGN;
#ifdef STATX_DIO_READ_ALIGN
  wanted |= STATX_DIO_READ_ALIGN;
#endif
  struct statx answer{};
  if (::statx(fd, "", AT_EMPTY_PATH, wanted, &answer) != 0 || (answer.stx_mask & STATX_DIOALIGN) == 0) return "nothing";
  if (answer.stx_dio_offset_align == 0) return "not direct";
  std::string said =
      std::to_string(answer.stx_dio_offset_align) + ", memory " + std::to_string(answer.stx_dio_mem_align);
#ifdef STATX_DIO_READ_ALIGN
  if ((answer.stx_mask & STATX_DIO_READ_ALIGN) != 0)
    said += ", reads " + std::to_string(answer.stx_dio_read_offset_align);
#endif
  return said;
#else
  return "not compiled in";
#endif
}

/// The least power of two for which a transfer succeeds.
template <class Transfer>
std::string least(Transfer succeeds_with) {
  for (std::size_t unit = 1; unit <= largest; unit *= 2)
    if (succeeds_with(unit)) return std::to_string(unit);
  return "none";
}

std::string what_it_uses(const asioq::file& its) {
  return its.is_direct() ? "direct, " + std::to_string(its.alignment()) : "page cache";
}

void print_row(const std::filesystem::path& place) {
  const bool is_disk = std::filesystem::is_block_file(place);
  const std::filesystem::path path = is_disk ? place : place / "asioq-alignments";
  asioq::file its = asioq::file::create(path);
  const int fd = its.fd();
  std::string row = "| " + place.filename().string() + " | " + what_statx_says(fd) + " | " + what_it_uses(its) + " | ";
  if (its.is_direct()) {
    static_cast<void>(::pwrite(fd, buffer, sizeof buffer, 0));  // what is there to be read
    const auto writes = [&](std::size_t unit) {
      return ::pwrite(fd, buffer, unit, static_cast<off_t>(unit)) == static_cast<ssize_t>(unit);
    };
    const auto reads = [&](std::size_t unit) {
      return ::pread(fd, buffer, unit, static_cast<off_t>(unit)) == static_cast<ssize_t>(unit);
    };
    const auto takes_memory = [&](std::size_t unit) {
      return ::pwrite(fd, buffer + unit, largest, 0) == static_cast<ssize_t>(largest);
    };
    row += least(writes) + " | " + least(reads) + " | " + least(takes_memory) + " | ";
  } else {
    row += "| | | ";
  }
  {
    asioq::asio_queue queue;
    asioq::writer sink{queue, its, {.offset = 12345}};
    sink.write(std::vector<std::byte>(10001));
    sink.close();
  }
  row += what_it_uses(its) + (is_disk || its.size() == 12345 + 10001 ? " |" : ", of a wrong size |");
  its.close();
  if (!is_disk) std::filesystem::remove(path);
  std::puts(row.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  std::puts("| file system | `statx` says | `file` uses | writes | reads | memory | after a writer |");
  std::puts("|---|---|---|---|---|---|---|");
  int status = 0;
  for (int i = 1; i < argc; ++i) {
    try {
      print_row(argv[i]);
    } catch (const std::exception& error) {
      std::printf("| %s | %s |\n", argv[i], error.what());
      status = 1;
    }
  }
  return status;
}
