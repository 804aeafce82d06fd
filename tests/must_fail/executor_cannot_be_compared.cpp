// An executor that cannot be compared is none: the message says which concept it does not satisfy.
// expect: equality_comparable|operator==|t == u
#include <asioq/asioq.hpp>

struct my_executor {
  void execute(asioq::task work) const { work(); }
#ifdef CORRECTED
  bool operator==(const my_executor&) const = default;
#endif
};

static_assert(asioq::executor<my_executor>);  // says what is missing
asioq::basic_asio_queue<my_executor> queue;
