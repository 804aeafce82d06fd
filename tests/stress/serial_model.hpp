// What a queue must do, carried out at once on strings: the reference for random programs.
#pragma once

#include <asioq/asioq.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace asioq_test {

/// What the model says of one request.
struct expectation {
  std::uint64_t sequence;
  asioq::asio_op op;
  int fd;
  std::uint64_t offset;
  int error;         // an errno value
  std::string data;  // what a read gives, or what a successful write has written
};

/// How a descriptor behaves.
enum class manner { all, read_only, write_only, append, full };

/// One queue and the descriptors it uses, run serially.
class serial_model {
 public:
  explicit serial_model(asioq::failure_policy policy) : policy_(policy) {}

  /// Descriptors of the same `file` share its content, each has its own position.
  void add(int fd, std::size_t file, manner how) {
    if (files_.size() <= file) files_.resize(file + 1);
    descriptors_.push_back({fd, file, how, 0});
  }

  /// The queue has taken this request; `text` is what is in its buffer.
  void submit(asioq::asio_op op, int fd, std::size_t length, std::uint64_t offset, std::string_view text) {
    expectation one{submitted_++, op, fd, offset, 0, {}};
    if (holding_)
      one.error = ECANCELED;
    else
      perform(one, length, text);
    if (one.error != 0 && policy_ == asioq::failure_policy::hold) holding_ = true;
    if (op != asioq::asio_op::write_back || one.error != 0) to_come_.push_back(std::move(one));
  }

  void resume() { holding_ = false; }

  /// The next request that has to come back; null if none.
  [[nodiscard]] const expectation* next() const { return to_come_.empty() ? nullptr : &to_come_.front(); }
  void collected() { to_come_.pop_front(); }

  /// The oldest failed write-back that has not come back; null if none.
  [[nodiscard]] const expectation* failed_write_back() const {
    for (const expectation& one : to_come_)
      if (one.op == asioq::asio_op::write_back) return &one;
    return nullptr;
  }

  [[nodiscard]] std::uint64_t submitted() const { return submitted_; }
  [[nodiscard]] const std::string& content(std::size_t file) const { return files_[file]; }

 private:
  struct open_file {
    int fd;
    std::size_t file;
    manner how;
    std::size_t position;
  };

  void perform(expectation& one, std::size_t length, std::string_view text) {
    open_file* const opened = find(one.fd);
    std::string& content = files_[opened->file];
    const bool at_position = one.offset == asioq::current_position;
    std::size_t from = at_position ? opened->position : static_cast<std::size_t>(one.offset);
    switch (one.op) {
      case asioq::asio_op::read:
        if (opened->how == manner::write_only) {
          one.error = EBADF;
          return;
        }
        if (from < content.size()) one.data = content.substr(from, length);
        break;
      case asioq::asio_op::write:
      case asioq::asio_op::write_back:
        if (opened->how == manner::read_only || opened->how == manner::full) {
          one.error = opened->how == manner::full ? ENOSPC : EBADF;
          return;
        }
        if (opened->how == manner::append && length != 0) from = content.size();  // pwrite too: a Linux oddity
        one.data = text.substr(0, length);
        if (length != 0 && content.size() < from + length) content.resize(from + length);
        content.replace(std::min(from, content.size()), length, one.data);
        break;
      default:
        return;
    }
    if (at_position) opened->position = from + one.data.size();
  }

  open_file* find(int fd) {
    for (open_file& one : descriptors_)
      if (one.fd == fd) return &one;
    return nullptr;
  }

  asioq::failure_policy policy_;
  std::vector<std::string> files_;
  std::vector<open_file> descriptors_;
  std::deque<expectation> to_come_;
  std::uint64_t submitted_ = 0;
  bool holding_ = false;
};

}  // namespace asioq_test
