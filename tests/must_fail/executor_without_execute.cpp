// A type without execute() is not an executor, and the message names the expression it lacks.
// expect: target\.execute
#include <asioq/asioq.hpp>

struct my_executor {
#ifdef CORRECTED
  void execute(asioq::task work) const { work(); }
#endif
  bool operator==(const my_executor&) const = default;
};

static_assert(asioq::executor<my_executor>);  // says what is missing
asioq::basic_asio_queue<my_executor> queue;
