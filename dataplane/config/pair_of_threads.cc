// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/pair_of_threads.h"

#include <pthread.h>

#include <atomic>

namespace sekisho::dataplane {
namespace {

struct Work {
  const std::function<void(std::size_t)>& job;
  std::size_t count;
  std::atomic<std::size_t> next{0};  // relaxed: only hands out numbers; creating and joining the thread orders the rest

  void run() {
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) job(i);
  }
};

}  // namespace

void run_on_two_threads(std::size_t count, const std::function<void(std::size_t)>& job) {
  Work work{job, count};
  // Not std::thread: it would end the process when the system has no thread to give.
  pthread_t helper{};
  const auto enter = [](void* argument) -> void* {
    static_cast<Work*>(argument)->run();
    return nullptr;
  };
  const bool helped = count > 1 && pthread_create(&helper, nullptr, enter, &work) == 0;
  work.run();
  if (helped) pthread_join(helper, nullptr);
}

}  // namespace sekisho::dataplane
