// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <unordered_set>

namespace sekisho::dataplane {

/// Gives objects with stable ids a dense place for what must survive commits (hit counters, meters, pins). A place freed
/// by a removed object is handed out again last, long after the last session that could still count there has ended.
/// Thread: the control thread.
class SlotMap {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffU;
  explicit SlotMap(std::uint32_t capacity) : capacity_(capacity) {}

  /// The place of `id`, new when it has none; kNone when all are taken.
  std::uint32_t take(std::uint32_t id) {
    const auto known = slots_.find(id);
    if (known != slots_.end()) return known->second;
    std::uint32_t slot = kNone;
    if (fresh_ < capacity_) {
      slot = fresh_++;
    } else if (!free_.empty()) {
      slot = free_.front();
      free_.pop_front();
    } else {
      return kNone;
    }
    slots_.emplace(id, slot);
    return slot;
  }
  /// Frees every place whose id is not in `alive` and tells `freed` which.
  template <typename Freed>
  void keep_only(const std::unordered_set<std::uint32_t>& alive, Freed freed) {
    for (auto it = slots_.begin(); it != slots_.end();) {
      if (alive.contains(it->first)) {
        ++it;
      } else {
        freed(it->second);
        free_.push_back(it->second);
        it = slots_.erase(it);
      }
    }
  }
  /// One past the highest place ever given.
  [[nodiscard]] std::uint32_t used_end() const { return fresh_; }
  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }
  [[nodiscard]] const std::unordered_map<std::uint32_t, std::uint32_t>& all() const { return slots_; }

 private:
  std::uint32_t capacity_;
  std::uint32_t fresh_ = 0;
  std::deque<std::uint32_t> free_;
  std::unordered_map<std::uint32_t, std::uint32_t> slots_;
};

}  // namespace sekisho::dataplane
