#pragma once

#include <asioq/asioq.hpp>

/// A queue that other.cpp makes.
asioq::asio_queue& queue_of_other();
