// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "mgmt/log/vault/vault.h"

namespace sekisho::mgmt {

/// Brings heads and filters of segments into the page cache before a search comes to them. A head says where the next one stands, so one
/// reader waits for a cold disk once a block; several segments at a time wait together. Nothing is read for its contents here, and nothing
/// depends on it. Threads: begun with the first wish, at most kThreads; the destructor ends them, after the read that each is in.
class ReadAhead {
 public:
  static constexpr std::size_t kThreads = 4;
  static constexpr std::size_t kSegments = 2 * kThreads;  ///< how far ahead of a search

  ReadAhead() = default;
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;
  ~ReadAhead();

  /// In the order they are wished.
  void wish(const StreamName& stream, const StreamView::Segment& segment);
  /// Segments that were walked whole.
  [[nodiscard]] std::size_t walked() const { return walked_; }

 private:
  struct Wish {
    StreamName stream;
    std::string path;
    std::uint64_t limit = 0;
  };
  void run();
  void walk(const Wish& wish);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Wish> wishes_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::size_t> walked_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace sekisho::mgmt
