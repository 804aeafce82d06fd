// A simulated disk with the faults that a random program asks for.
#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/io_executor.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "io_engines.hpp"
#include "playground.hpp"
#include "program.hpp"

namespace asioq_test {

/// A disk with bad sectors. What it does depends on nothing but the operation and the file's state, and not on how a
/// transfer is cut: so it is the same in every run that is as if serial.
class faulty_disk : public simulated_disk {
 public:
  faulty_disk(std::uint64_t seed, const program& its, const playground& files)
      : simulated_disk(seed), program_(its), files_(files) {}

  void start(asioq::io_operation& operation) override {
    if (std::exchange(refuses, false)) throw std::system_error(EAGAIN, std::system_category());
    simulated_disk::start(operation);
  }

  bool refuses = false;  // the next operation

  /// How many syncs have failed because the disk says so.
  [[nodiscard]] std::size_t failed_syncs() const { return failed_syncs_; }

  /// What each successful sync has found in its file: what a power cut would have left. One file after another.
  [[nodiscard]] std::vector<std::string> synced() const {
    std::vector<std::string> all;
    for (const std::vector<std::string>& its : synced_) all.insert(all.end(), its.begin(), its.end());
    return all;
  }

 protected:
  std::int64_t transfer(const asioq::io_operation& operation, std::size_t length) override {
    using asioq::asio_op;
    const playground::target& target = files_.target_of(operation.fd());
    const bool is_sync = operation.op() == asio_op::fsync || operation.op() == asio_op::fdatasync;
    if (target.where < playground::regular_files) {
      if (is_sync) {
        const std::string content = files_.content_of(target.where);
        if (program_.syncs_fail && std::hash<std::string>{}(content) % 4 == 0 && lost_[target.where] != content) {
          lost_[target.where] = content;  // the next time it is a success, as the kernel has it
          ++failed_syncs_;
          return target.where % 2 == 0 ? -EIO : -EDQUOT;
        }
        synced_[target.where].push_back(content);
      } else if (const int error = meet_bad_sector(operation, target, length)) {
        return -error;
      }
    }
    const std::int64_t result = simulated_disk::transfer(operation, length);
    if (result != -ESPIPE) return result;
    // As io_uring has it: a pipe's offset does not matter.
    return length_or_errno(operation.op() == asio_op::read
                               ? ::read(operation.fd(), operation.buffer().data(), length)
                               : ::write(operation.fd(), operation.buffer().data(), length));
  }

 private:
  static std::int64_t length_or_errno(ssize_t result) { return result < 0 ? -errno : result; }

  int meet_bad_sector(const asioq::io_operation& operation, const playground::target& target, std::size_t& length) {
    const bool is_write = operation.op() != asioq::asio_op::read;
    std::uint64_t place = operation.offset();
    if (is_write && target.appends)
      place = files_.content_of(target.where).size();
    else if (place == asioq::current_position)
      place = static_cast<std::uint64_t>(::lseek(operation.fd(), 0, SEEK_CUR));
    for (const bad_sector& bad : program_.bad_sectors) {
      if (bad.file != target.where || bad.for_writes != is_write || length == 0 || place >= bad.end) continue;
      if (place >= bad.begin) return EIO;
      length = static_cast<std::size_t>(std::min<std::uint64_t>(length, bad.begin - place));
    }
    return 0;
  }

  const program& program_;
  const playground& files_;
  std::array<std::vector<std::string>, playground::regular_files> synced_;
  std::array<std::optional<std::string>, playground::regular_files> lost_;  // what a sync has failed with
  std::size_t failed_syncs_ = 0;
};

}  // namespace asioq_test
