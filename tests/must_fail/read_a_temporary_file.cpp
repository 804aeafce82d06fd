// A reader refers to its file, which has to outlive it.
// expect: deleted
#include <asioq/asioq.hpp>

#include <cstddef>

std::size_t first_block(asioq::asio_queue& queue) {
#ifdef CORRECTED
  const asioq::file its = asioq::file::open_for_reading("name");
  asioq::reader source{queue, its};
#else
  asioq::reader source{queue, asioq::file::open_for_reading("name")};
#endif
  return source.next().size();
}
