// What must be true of one queue, whatever its disk does: a serial run that follows what came back.
#pragma once

#include <asioq/asioq.hpp>

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace asioq_fuzz {

/// A file as a serial run has it.
struct modelled_file {
  std::string name;
  std::string content = {};
  bool is_unknown = false;  // a request that never came back may have changed it
  bool is_durable = false;  // a sync has covered all of it
  bool has_lost = false;    // a sync has failed, and may have dropped data
  /// Of a file that several queues use: the bytes that may be at each place. Empty if one queue has it for itself.
  std::vector<std::bitset<256>> possible = {};

  [[nodiscard]] bool is_shared() const noexcept { return !possible.empty(); }
};

/// A descriptor as a serial run has it.
struct modelled_descriptor {
  modelled_file* file = nullptr;
  int fd = -1;
  bool appends = false;
  bool is_open = true;
  bool is_to_be_closed = false;  // a close has been submitted
  std::size_t position = 0;
};

/// One submission of a request, and what came of it.
struct submission {
  enum class state {
    out,     ///< With the queue, as far as the program knows.
    back,    ///< The program has been given it.
    silent,  ///< It will never come back.
  };

  std::uint64_t sequence = 0;
  asioq::asio_op op = asioq::asio_op::free;
  int fd = -1;
  std::size_t length = 0;
  std::uint64_t offset = 0;
  const void* user_data = nullptr;
  std::size_t descriptor = 0;  // its number in the model
  std::string bytes = {};      // the buffer's content from where the transfer begins; as long as the transfer
  bool has_receiver = false;
  bool is_abandoned = false;  // its coroutine has been destroyed
  unsigned action = 0;        // what its receiver is to do
  bool may_be_cancelled = false;
  bool must_be_cancelled = false;
  bool met_power_cut = false;  // it was out when the power failed

  state progress = state::out;
  bool is_known = true;  // how it went
  int error = 0;
  std::size_t transferred = 0;
  std::string data = {};  // of a read

  [[nodiscard]] bool at_position() const noexcept { return offset == asioq::current_position; }
  /// The queue recycles it if it succeeds.
  [[nodiscard]] bool may_be_silent() const noexcept {
    return has_receiver ? is_abandoned : op == asioq::asio_op::write_back;
  }
};

/// The model of one queue. It checks each thing that it is told, and never asks the queue.
class queue_model {
 public:
  explicit queue_model(const asioq::queue_options& options);

  /// The descriptors that requests may name.
  std::vector<modelled_descriptor> descriptors;
  /// Handles of the queue's that the program has.
  std::size_t handles = 0;

  /// Submissions of coroutines that have been destroyed, and that nothing has been told of.
  [[nodiscard]] std::size_t abandoned() const;
  /// Which of `descriptors` has this number; their count if none has.
  [[nodiscard]] std::size_t descriptor_of(int fd) const noexcept;

  /// The program is about to submit this. If `submit` throws, `take_back`.
  submission& begin(const asioq::asio_request& request, bool has_receiver);
  void take_back();

  /// A wait has returned this, or a receiver has got it. Returns what it was submitted as.
  const submission& came_back(const asioq::asio_request& request, bool has_receiver);
  /// `on_lost_failure` has got this.
  void was_lost(const asioq::asio_request& request, bool is_closing);
  /// A call that waits for all requests without a receiver has found none.
  void has_no_more_to_collect();
  /// The same for those with a receiver.
  void has_no_more_to_deliver();
  /// The queue is gone.
  void closed();

  /// A write_back_error has been thrown when all below `finished` had finished. It covers what has failed of these.
  void threw(const asioq::write_back_error& error, std::uint64_t finished);
  /// A call that throws if a write-back has failed has not thrown, though all below `finished` had finished.
  void did_not_throw(std::uint64_t finished);

  /// What is about to be cancelled, when all below `finished` have finished: everything, or one request.
  void cancels_all(std::uint64_t finished);
  void cancels(std::uint64_t sequence, std::uint64_t finished);
  /// `resume` has been called when all below `finished` had finished.
  void resumed(std::uint64_t finished) { resumes_.push_back({submitted(), finished}); }
  /// An error that may come from here on.
  void may_fail_with(int error) { failing_.insert(error); }
  void power_failed();

  /// What the queue says of itself.
  void counted(std::uint64_t finished, std::size_t running, std::size_t running_write_backs, std::size_t allocated,
               std::size_t idle);
  /// The same when nothing is left with the queue.
  void counted_at_rest(std::size_t allocated) const;

  [[nodiscard]] std::uint64_t submitted() const noexcept { return all_.size(); }
  [[nodiscard]] std::uint64_t finished() const noexcept { return finished_; }
  [[nodiscard]] submission& at(std::uint64_t sequence) { return all_[static_cast<std::size_t>(sequence)]; }
  /// Whether it knows how everything went.
  [[nodiscard]] bool has_followed_all() const noexcept { return followed_ == all_.size(); }

 private:
  struct failure {
    std::uint64_t sequence;
    const modelled_file* file;  // null if the descriptor meant nothing
    int error;
  };
  struct acknowledgement {
    std::uint64_t from;     // for requests from here on
    std::uint64_t through;  // of failures below
  };

  void check_result(const asioq::asio_request& request, const submission& its) const;
  void note_result(const asioq::asio_request& request, submission& its);
  void pass_over(std::uint64_t end, bool has_receiver);
  void fall_silent(submission& its);
  void follow();
  void follow(submission& its);
  void follow_order(const submission& its);
  void follow_sync(const submission& its, const modelled_descriptor& on);
  void follow_effect(const submission& its, modelled_descriptor& on);
  void follow_read(const submission& its, modelled_descriptor& on);
  void follow_write(const submission& its, modelled_descriptor& on);
  void take_in_resumes(std::uint64_t sequence);
  [[nodiscard]] bool concerns(const failure& its, std::uint64_t sequence) const noexcept {
    return its.sequence < sequence && its.sequence >= acknowledged_;
  }

  bool is_strict_;
  bool holds_;
  std::size_t max_write_backs_;
  std::size_t max_requests_;
  std::deque<submission> all_;  // by sequence
  std::uint64_t finished_ = 0;
  std::size_t first_out_ = 0;  // none before is out

  // Of failed write-backs that have not come back.
  std::uint64_t none_failed_below_ = 0;
  std::uint64_t reported_below_ = 0;
  std::uint64_t lost_below_ = 0;
  bool has_reported_ = false;  // the next that comes back is this one
  int reported_error_ = 0;
  int reported_fd_ = -1;
  std::uint64_t reported_offset_ = 0;
  std::size_t reported_length_ = 0;

  // The serial run.
  std::size_t followed_ = 0;
  std::set<int> failing_;
  std::deque<acknowledgement> resumes_;
  std::uint64_t acknowledged_ = 0;
  std::vector<std::uint64_t> failed_;  // what has not succeeded, for whatever reason
  std::vector<failure> failures_;
  std::vector<failure> failed_syncs_;
  bool may_hold_ = false;  // a request that is not known may have failed
};

}  // namespace asioq_fuzz
