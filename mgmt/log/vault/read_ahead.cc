// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/read_ahead.h"

namespace sekisho::mgmt {

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ReadAhead::wish(const StreamName& stream, const StreamView::Segment& segment) {
  {
    const std::lock_guard lock(mutex_);
    wishes_.push_back({stream, segment.path, segment.limit});
  }
  if (threads_.size() < kThreads) threads_.emplace_back([this] { run(); });
  changed_.notify_one();
}

void ReadAhead::run() {
  for (;;) {
    Wish next;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !wishes_.empty(); });
      if (stopping_) return;
      next = std::move(wishes_.front());
      wishes_.pop_front();
    }
    walk(next);
  }
}

void ReadAhead::walk(const Wish& wish) {
  const auto reader = SegmentReader::open(wish.path, wish.stream, wish.limit);
  if (!reader) return;
  for (std::uint64_t offset = kSegmentHeadBytes; !stopping_;) {
    const auto head = reader->at(offset);
    if (!head || !*head) break;
    reader->expect_filter(offset, **head);
    offset += (**head).bytes();
  }
  ++walked_;
}

}  // namespace sekisho::mgmt
