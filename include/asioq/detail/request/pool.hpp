#pragma once

#include <asioq/asio_op.hpp>
#include <asioq/detail/request/record.hpp>
#include <asioq/detail/support/sync.hpp>
#include <asioq/file_offset.hpp>
#include <asioq/options.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace asioq::detail {

/// Where a request goes when its handle is destroyed: back to the queue that made it or, once that is gone, to be
/// freed.
class request_home {
 public:
  request_home(const request_home&) = delete;
  request_home& operator=(const request_home&) = delete;

  /// Bytes in each record's buffer.
  [[nodiscard]] std::size_t buffer_size() const noexcept { return buffer_size_; }

  /// Takes the record of a destroyed handle, on any thread.
  void give_back(request_record& record) noexcept {
    std::uintptr_t head = returned_.load(std::memory_order_acquire);
    do {
      if (head == closed_mark) {
        free_late(record);
        return;
      }
      record.next = record_at(head);
      // Release: the queue's owner takes the list with acquire, and so sees everything done to the record. Acquire on
      // failure: a thread that reads the mark must see what the owner did before closing.
    } while (!returned_.compare_exchange_weak(head, reinterpret_cast<std::uintptr_t>(&record),
                                              std::memory_order_release, std::memory_order_acquire));
  }

 protected:
  explicit request_home(std::size_t buffer_size) noexcept : buffer_size_(buffer_size) {}
  ~request_home() = default;

  virtual void free_late(request_record& record) noexcept = 0;

  /// No record has this address, since records are aligned. It is a number and not the address of a variable, because
  /// with hidden visibility each shared object of a program has a copy of a variable.
  static constexpr std::uintptr_t closed_mark = 1;
  static_assert(alignof(request_record) > closed_mark);

  static request_record* record_at(std::uintptr_t address) noexcept {
    return reinterpret_cast<request_record*>(address);
  }

  /// The address of a stack of returned records, linked by `next`. Any thread that destroys a handle pushes. The owner
  /// takes the stack as a whole, so there is no ABA problem. Once the queue is gone this is the mark, forever.
  atomic<std::uintptr_t> returned_ = 0;

 private:
  std::size_t buffer_size_;  // constant
};

/// All records of one queue with their buffers. They are made on demand, recycled, and freed with the queue or, if a
/// handle outlives it, with the handle. Everything but `give_back` is for the queue's owner.
///
/// Invariant of `parts_`: 1 for the queue until it closes, plus 1 for each record. Until `returned_` is closed only the
/// owner changes it, and afterwards only the thread that holds `late_`. The thread that makes it 0 destroys the pool,
/// which no other thread can then reach.
template <class Allocator>
class request_pool final : public request_home {
  struct alignas(buffer_alignment) buffer_unit {
    std::byte bytes[buffer_alignment];
  };
  template <class T>
  using rebound = typename std::allocator_traits<Allocator>::template rebind_alloc<T>;

 public:
  /// The pool is itself allocated with (a copy of) the allocator.
  static request_pool& make(std::size_t buffer_size, const Allocator& allocator) {
    return *make_with<request_pool>(allocator, buffer_size, allocator);
  }

  request_pool(std::size_t buffer_size, const Allocator& allocator)
      : request_home(buffer_size), allocator_(allocator), units_((buffer_size - 1) / buffer_alignment + 1) {}

  [[nodiscard]] const Allocator& allocator() const noexcept { return allocator_; }

  /// Records that exist, and those of them that are idle.
  [[nodiscard]] std::size_t size() const noexcept { return parts_ - 1; }
  [[nodiscard]] std::size_t idle() noexcept {
    take_in_returned();
    return idle_count_;
  }

  [[nodiscard]] bool has_idle() noexcept {
    if (idle_ == nullptr) take_in_returned();
    return idle_ != nullptr;
  }

  /// An idle record, with nothing prepared. There must be one.
  request_record& take() noexcept {
    request_record& record = *std::exchange(idle_, idle_->next);
    --idle_count_;
    record.op = asio_op::free;
    record.fd = -1;
    record.data = record.buffer;
    record.length = 0;
    record.offset = current_position;
    record.user_data = nullptr;
    record.error = 0;
    record.transferred = 0;
    return record;
  }

  /// A new record. Throws what the allocator throws, changing nothing.
  request_record& make_record() {
    rebound<buffer_unit> buffers(allocator_);
    const auto units = std::allocator_traits<rebound<buffer_unit>>::allocate(buffers, units_);
    try {
      auto* bytes = reinterpret_cast<std::byte*>(std::to_address(units));
      auto* const record = make_with<request_record>(allocator_, static_cast<request_home*>(this), bytes);
      ++parts_;
      return *record;
    } catch (...) {
      std::allocator_traits<rebound<buffer_unit>>::deallocate(buffers, units, units_);
      throw;
    }
  }

  /// Takes a record that the owner needs no more.
  void put(request_record& record) noexcept {
    record.next = idle_;
    idle_ = &record;
    ++idle_count_;
  }

  /// Frees the idle records.
  void free_idle() noexcept {
    take_in_returned();
    for (; idle_ != nullptr; --idle_count_) free_record(*std::exchange(idle_, idle_->next));
  }

  /// The queue is going: frees what is idle, and itself if no handle is left.
  void close() noexcept {
    // Release: pairs with the acquire that makes give_back see the mark.
    request_record* returned = record_at(returned_.exchange(closed_mark, std::memory_order_acq_rel));
    std::unique_lock lock(late_);
    for (request_record* list : {idle_, returned})
      while (list != nullptr) free_record(*std::exchange(list, list->next));
    if (--parts_ == 0) destroy(lock);
  }

 private:
  void free_late(request_record& record) noexcept override {
    std::unique_lock lock(late_);
    free_record(record);
    if (parts_ == 0) destroy(lock);
  }

  void destroy(std::unique_lock<mutex>& lock) noexcept {
    lock.unlock();
    const Allocator allocator = allocator_;
    free_with(allocator, this);
  }

  void take_in_returned() noexcept {
    if (returned_.load(std::memory_order_relaxed) == 0) return;
    // Acquire: pairs with the release in give_back().
    for (request_record* list = record_at(returned_.exchange(0, std::memory_order_acquire)); list != nullptr;)
      put(*std::exchange(list, list->next));
  }

  void free_record(request_record& record) noexcept {
    using buffer_traits = std::allocator_traits<rebound<buffer_unit>>;
    rebound<buffer_unit> buffers(allocator_);
    auto* const units = reinterpret_cast<buffer_unit*>(record.buffer);
    buffer_traits::deallocate(buffers, std::pointer_traits<typename buffer_traits::pointer>::pointer_to(*units),
                              units_);
    free_with(allocator_, &record);
    --parts_;
  }

  template <class T, class... Arguments>
  static T* make_with(const Allocator& allocator, Arguments&&... arguments) {
    using traits = std::allocator_traits<rebound<T>>;
    rebound<T> objects(allocator);
    const auto place = traits::allocate(objects, 1);
    try {
      return std::construct_at(std::to_address(place), std::forward<Arguments>(arguments)...);
    } catch (...) {
      traits::deallocate(objects, place, 1);
      throw;
    }
  }

  template <class T>
  static void free_with(const Allocator& allocator, T* object) noexcept {
    using traits = std::allocator_traits<rebound<T>>;
    rebound<T> objects(allocator);
    std::destroy_at(object);
    traits::deallocate(objects, std::pointer_traits<typename traits::pointer>::pointer_to(*object), 1);
  }

  Allocator allocator_;             // constant
  std::size_t units_;               // constant: allocation units in a buffer
  std::size_t parts_ = 1;           // see above
  request_record* idle_ = nullptr;  // owner only: records ready for use, linked by `next`
  std::size_t idle_count_ = 0;      // owner only: how many these are
  mutex late_;                      // serialises frees after the queue, since an allocator need not be thread-safe
};

}  // namespace asioq::detail
