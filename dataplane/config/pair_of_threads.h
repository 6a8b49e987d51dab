// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

namespace sekisho::dataplane {

/// Calls job(0) .. job(count - 1), each once, on the calling thread and one helper; returns when all are done. Jobs
/// begin in order and must not touch one another. Without room for a helper everything runs here. Thread: control,
/// never a worker's.
void run_on_two_threads(std::size_t count, const std::function<void(std::size_t)>& job);

}  // namespace sekisho::dataplane
