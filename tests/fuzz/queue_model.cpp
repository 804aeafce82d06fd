#include "queue_model.hpp"

#include "check.hpp"

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace asioq_fuzz {

using asioq::asio_op;
using state = submission::state;

namespace {

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// As `failure_log` has it: these say "not tried" or "cannot be synced".
bool loses_nothing(int error) {
  constexpr int all[] = {0, EAGAIN, EBADF, ECANCELED, EINTR, EINVAL, ENOMEM, ENOSYS, EOPNOTSUPP};
  return std::ranges::find(all, error) != std::end(all);
}

}  // namespace

queue_model::queue_model(const asioq::queue_options& options)
    : is_strict_(options.order == asioq::execution_order::strict),
      holds_(options.on_failure == asioq::failure_policy::hold),
      max_write_backs_(options.max_writebacks),
      max_requests_(options.max_requests) {}

std::size_t queue_model::abandoned() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      all_, [](const submission& its) { return its.is_abandoned && its.progress != state::back; }));
}

std::size_t queue_model::descriptor_of(int fd) const noexcept {
  const auto its = std::ranges::find(descriptors, fd, &modelled_descriptor::fd);
  return static_cast<std::size_t>(its - descriptors.begin());
}

// What is submitted, and what comes back.

submission& queue_model::begin(const asioq::asio_request& request, bool has_receiver) {
  submission its;
  its.sequence = submitted();
  its.op = request.op();
  its.fd = request.fd();
  its.length = request.length();
  its.offset = request.offset();
  its.user_data = request.user_data();
  its.descriptor = descriptor_of(its.fd);
  its.has_receiver = has_receiver;
  must(its.descriptor < descriptors.size(), "the fuzzer names a descriptor that it does not know");
  modelled_descriptor& on = descriptors[its.descriptor];
  if (its.op == asio_op::close) on.is_to_be_closed = true;
  if (asioq::traits_of(its.op).writes && asioq::traits_of(its.op).transfers) {
    const std::byte* const first = request.data().data();
    its.bytes = text_of({first, its.length});
    if (on.file->is_shared())
      for (std::size_t i = 0; i < its.length; ++i)
        on.file->possible[static_cast<std::size_t>(its.offset) + i].set(static_cast<unsigned char>(its.bytes[i]));
  }
  all_.push_back(std::move(its));
  --handles;
  return all_.back();
}

void queue_model::take_back() {
  ++handles;
  const submission its = std::move(all_.back());
  all_.pop_back();
  if (its.op != asio_op::close) return;
  modelled_descriptor& on = descriptors[its.descriptor];
  on.is_to_be_closed =
      !on.is_open ||
      std::any_of(all_.begin() + static_cast<std::ptrdiff_t>(followed_), all_.end(), [&](const submission& other) {
        return other.op == asio_op::close && other.descriptor == its.descriptor;
      });
}

const submission& queue_model::came_back(const asioq::asio_request& request, bool has_receiver) {
  must(static_cast<bool>(request), "an empty handle is delivered");
  const std::uint64_t sequence = request.sequence();
  must(sequence < submitted(), "a request comes back that has not been submitted");
  submission& its = at(sequence);
  must(its.progress == state::out, "a request comes back that the queue does not have");
  must(its.has_receiver == has_receiver, "a request comes back on the wrong way");
  must(!its.is_abandoned, "a request without a coroutine comes back");
  pass_over(sequence, has_receiver);
  check_result(request, its);
  if (!has_receiver && its.op == asio_op::write_back) {
    must(its.error == 0 && request.error(), "a write-back that succeeded comes back");
    must(sequence >= none_failed_below_, "a write-back had failed, and a call did not throw");
    if (has_reported_) {
      has_reported_ = false;
      must(its.fd == reported_fd_ && its.offset == reported_offset_ && its.length == reported_length_ &&
               request.error().value() == reported_error_,
           "a write_back_error was about another write-back than the oldest that failed");
    }
  }
  note_result(request, its);
  its.progress = state::back;
  ++handles;
  follow();
  return its;
}

void queue_model::was_lost(const asioq::asio_request& request, bool is_closing) {
  must(static_cast<bool>(request), "an empty handle is lost");
  must(request.sequence() < submitted(), "a request is lost that has not been submitted");
  submission& its = at(request.sequence());
  must(its.progress == state::out, "a request is lost that the queue does not have");
  must(is_closing ? !its.has_receiver || its.is_abandoned : its.is_abandoned, "a request is lost that has a way back");
  must(request.error() && asioq::traits_of(its.op).may_lose, "a request is lost that loses nothing");
  must(its.has_receiver || its.op != asio_op::write_back || its.sequence >= reported_below_,
       "a failure is lost that a write_back_error has reported");
  if (its.has_receiver) {
    pass_over(its.sequence, true);
  } else {  // what has not failed, or has lost nothing, is left out
    must(its.sequence >= lost_below_, "failures are lost out of order");
    lost_below_ = its.sequence + 1;
  }
  check_result(request, its);
  note_result(request, its);
  its.progress = state::back;
  follow();
}

void queue_model::has_no_more_to_collect() {
  pass_over(submitted(), false);
  must(!has_reported_, "a write_back_error was about a write-back that never came back");
  follow();
}

void queue_model::has_no_more_to_deliver() {
  pass_over(submitted(), true);
  follow();
}

void queue_model::closed() {
  for (submission& its : all_) {
    if (its.progress != state::out) continue;
    must(!its.has_receiver || its.is_abandoned, "a queue is gone without a delivery");
    // Had it failed, on_lost_failure would have told, or a write_back_error has.
    its.is_known = its.op != asio_op::read &&
                   (its.has_receiver || its.op != asio_op::write_back || its.sequence >= reported_below_);
    fall_silent(its);
  }
  follow();
}

/// Those of one way back come back in order, and only what may be silent is left out.
void queue_model::pass_over(std::uint64_t end, bool has_receiver) {
  while (first_out_ < all_.size() && all_[first_out_].progress != state::out) ++first_out_;
  for (std::size_t i = first_out_; i < end; ++i) {
    submission& its = all_[i];
    if (its.progress != state::out || its.has_receiver != has_receiver) continue;
    must(its.may_be_silent(), "a request has been left out");
    its.is_known = its.op != asio_op::read;
    fall_silent(its);
  }
}

/// It has succeeded, if it is known at all.
void queue_model::fall_silent(submission& its) {
  its.progress = state::silent;
  its.transferred = asioq::traits_of(its.op).transfers ? its.length : 0;
}

void queue_model::check_result(const asioq::asio_request& request, const submission& its) const {
  must(request.op() == its.op && request.fd() == its.fd && request.length() == its.length &&
           request.offset() == its.offset,
       "a request comes back as another");
  must(request.user_data() == its.user_data, "user_data is lost");
  must(request.bytes_transferred() <= its.length, "too much has been transferred");
  must(request.data().size() == request.bytes_transferred(), "data() has another size");
  if (!its.bytes.empty())
    must(text_of({request.data().data(), its.length}) == its.bytes, "the data of a write have changed");
  const int error = request.error().value();
  must(error == 0 || error == EBADF || error == ECANCELED || failing_.contains(error), "an error out of nowhere");
}

void queue_model::note_result(const asioq::asio_request& request, submission& its) {
  its.error = request.error().value();
  its.transferred = request.bytes_transferred();
  if (its.op == asio_op::read) its.data = text_of(request.data());
}

void queue_model::threw(const asioq::write_back_error& error, std::uint64_t finished) {
  reported_below_ = std::max(reported_below_, finished);
  const int code = error.code().value();
  if (has_reported_)
    must(code == reported_error_ && error.fd() == reported_fd_ && error.offset() == reported_offset_ &&
             error.length() == reported_length_,
         "two write_back_errors are about different write-backs");
  has_reported_ = true;
  reported_error_ = code;
  reported_fd_ = error.fd();
  reported_offset_ = error.offset();
  reported_length_ = error.length();
}

void queue_model::did_not_throw(std::uint64_t finished) {
  must(!has_reported_, "a write_back_error has stopped, with its write-back uncollected");
  none_failed_below_ = std::max(none_failed_below_, finished);
}

void queue_model::cancels_all(std::uint64_t finished) {
  for (std::uint64_t i = finished; i < submitted(); ++i) cancels(i, finished);
}

void queue_model::cancels(std::uint64_t sequence, std::uint64_t finished) {
  if (sequence < finished) return;
  at(sequence).may_be_cancelled = true;
  // In strict order only the oldest can have begun.
  if (is_strict_ && sequence > finished) at(sequence).must_be_cancelled = true;
}

void queue_model::power_failed() {
  for (std::size_t i = followed_; i < all_.size(); ++i) all_[i].met_power_cut = true;
  for (modelled_descriptor& on : descriptors) {
    on.is_open = false;
    on.is_to_be_closed = true;
  }
  for (failure& its : failed_syncs_) its.file = nullptr;
}

void queue_model::counted(std::uint64_t finished, std::size_t running, std::size_t running_write_backs,
                          std::size_t allocated, std::size_t idle) {
  must(finished >= finished_, "completed_through() goes back");
  must(finished <= submitted(), "completed_through() is beyond what was submitted");
  must(running == submitted() - finished, "running_requests() is wrong");
  finished_ = finished;
  std::size_t write_backs = 0;
  for (std::uint64_t i = finished; i < submitted(); ++i)
    if (at(i).op == asio_op::write_back) ++write_backs;
  must(running_write_backs == write_backs, "running_writebacks() is wrong");
  must(write_backs <= max_write_backs_, "more write-backs are running than may be");
  std::size_t surely_out = 0;
  std::size_t out = 0;
  while (first_out_ < all_.size() && all_[first_out_].progress != state::out) ++first_out_;
  for (std::size_t i = first_out_; i < all_.size(); ++i) {
    if (all_[i].progress != state::out) continue;
    ++out;
    if (i >= finished || !all_[i].may_be_silent()) ++surely_out;
  }
  must(allocated >= handles + surely_out && allocated <= handles + out, "allocated_requests() is wrong");
  must(max_requests_ == 0 || allocated + idle <= max_requests_, "there are more requests than may be");
}

void queue_model::counted_at_rest(std::size_t allocated) const {
  must(allocated == handles, "a request has leaked, or comes twice");
}

// The serial run.

void queue_model::follow() {
  while (followed_ < all_.size() && all_[followed_].progress != state::out) follow(all_[followed_++]);
}

void queue_model::follow(submission& its) {
  modelled_descriptor& on = descriptors[its.descriptor];
  take_in_resumes(its.sequence);
  if (!its.is_known) {
    may_hold_ = may_hold_ || holds_;
    if (its.op != asio_op::read || its.at_position()) on.file->is_unknown = true;
    return;
  }
  follow_order(its);
  const bool is_cancelled = its.error == ECANCELED;
  const bool has_begun = !is_cancelled || its.transferred > 0;
  if (asioq::traits_of(its.op).is_sync && has_begun) follow_sync(its, on);
  if (its.error != 0) failed_.push_back(its.sequence);
  // Under hold, what an older failure concerns has not begun: so it is a failure of its own.
  if (its.error != 0 && has_begun && holds_) failures_.push_back({its.sequence, nullptr, its.error});
  if (its.met_power_cut) return;
  if (!has_begun) return;
  if (on.file->is_shared()) {
    if (its.op != asio_op::read) return;
    for (std::size_t i = 0; i < its.transferred; ++i)
      must(on.file->possible[static_cast<std::size_t>(its.offset) + i].test(static_cast<unsigned char>(its.data[i])),
           "a read finds what was never written there");
    return;
  }
  if (on.is_open) return follow_effect(its, on);
  // Filters answer without a look at the descriptor; a sync may inherit a failure.
  const bool is_error_of_closed = its.error == EBADF || its.error == ENXIO || its.error == ENOMEM ||
                                  (asioq::traits_of(its.op).is_sync && its.error != 0);
  must(its.transferred == 0 && is_error_of_closed, "a closed descriptor still means a file");
}

/// Whether it may have been carried out, or not been.
void queue_model::follow_order(const submission& its) {
  const bool is_cancelled = its.error == ECANCELED;
  const bool is_held =
      std::ranges::any_of(failures_, [&](const failure& other) { return concerns(other, its.sequence); });
  if (is_held && is_strict_)
    must(is_cancelled && its.transferred == 0, "a request has begun behind a failure, under hold");
  if (its.must_be_cancelled) must(is_cancelled && its.transferred == 0, "a request has begun that had been cancelled");
  if (!is_cancelled || its.may_be_cancelled) return;
  must(is_held || may_hold_, "a request is cancelled for no reason");
  must(its.transferred == 0, "a request that is held has transferred something");
}

/// It may inherit the failure of an older one.
void queue_model::follow_sync(const submission& its, const modelled_descriptor& on) {
  const modelled_file* const file = on.is_open && !its.met_power_cut ? on.file : nullptr;
  const auto inherited = std::ranges::find_if(
      failed_syncs_, [&](const failure& other) { return other.file == file && concerns(other, its.sequence); });
  if (inherited != failed_syncs_.end()) {
    // What means nothing is a file like any other to the queue, and after a power cut the fuzzer cannot know which.
    if (file != nullptr) must(its.error == inherited->error, "a failed sync has not lasted");
    if (its.error == inherited->error) return;
  }
  if (!loses_nothing(its.error)) failed_syncs_.push_back({its.sequence, file, its.error});
}

void queue_model::follow_effect(const submission& its, modelled_descriptor& on) {
  must(its.error != EBADF || its.op == asio_op::close, "an open descriptor means nothing");
  modelled_file& file = *on.file;
  if (!asioq::traits_of(its.op).transfers) must(its.transferred == 0, "bytes without a transfer");
  if (asioq::traits_of(its.op).is_sync) {
    if (its.error != 0) file.has_lost = true;
    if (its.error == 0) file.is_durable = !file.has_lost;
    return;
  }
  if (its.op == asio_op::read) return follow_read(its, on);
  if (its.op == asio_op::close) {
    if (its.error != ENOMEM) on.is_open = false;  // else it has never begun
    return;
  }
  file.is_durable = false;
  if (asioq::traits_of(its.op).transfers) return follow_write(its, on);
  if (its.error != 0) return;
  const auto offset = static_cast<std::size_t>(its.offset);
  if (its.op == asio_op::truncate) file.content.resize(offset);
  if (its.op == asio_op::allocate) file.content.resize(std::max(file.content.size(), offset + its.length));
}

void queue_model::follow_read(const submission& its, modelled_descriptor& on) {
  const std::string& content = on.file->content;
  const std::size_t place = its.at_position() ? on.position : static_cast<std::size_t>(its.offset);
  if (its.at_position()) on.position += its.transferred;
  if (on.file->is_unknown) return;
  const std::string there = place < content.size() ? content.substr(place, its.length) : std::string();
  must(its.transferred <= there.size(), "a read goes beyond the end of the file");
  must(its.data == there.substr(0, its.transferred), "a read finds something else than a serial run");
  if (its.error != 0) return;
  if (!its.at_position()) must(its.transferred == there.size(), "a read has succeeded, and is not complete");
  must(its.transferred > 0 || there.empty(), "a read at the position finds the end too early");
}

void queue_model::follow_write(const submission& its, modelled_descriptor& on) {
  must(its.error != 0 || its.transferred == its.length, "a write has succeeded, and is not complete");
  must(its.error == 0 || its.transferred < its.length || its.length == 0, "a complete write has failed");
  std::string& content = on.file->content;
  const std::size_t place =
      on.appends ? content.size() : (its.at_position() ? on.position : static_cast<std::size_t>(its.offset));
  if (its.transferred == 0) return;
  content.resize(std::max(content.size(), place + its.transferred));
  content.replace(place, its.transferred, its.bytes, 0, its.transferred);
  if (its.at_position()) on.position = place + its.transferred;
}

void queue_model::take_in_resumes(std::uint64_t sequence) {
  for (; !resumes_.empty() && resumes_.front().from <= sequence; resumes_.pop_front()) {
    const std::uint64_t through = resumes_.front().through;
    // Without a failure since the last time it has no effect.
    const auto failed = std::ranges::lower_bound(failed_, acknowledged_);
    if (failed != failed_.end() && *failed < through) acknowledged_ = through;
  }
}

}  // namespace asioq_fuzz
