// Something that is no executor at all.
// expect: constraint
#include <asioq/asioq.hpp>

#ifdef CORRECTED
asioq::basic_asio_queue<asioq::inline_executor> queue;
#else
asioq::basic_asio_queue<int> queue;
#endif
