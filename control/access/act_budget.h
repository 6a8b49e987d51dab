// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <string>

namespace sekisho::control {

/// How often people and programs of one side may act: each act is on the disk before it begins, and the disk is everybody's.
/// A tenant has one budget for all its accounts and keys, the provider another. Thread: one.
class ActBudget {
 public:
  static constexpr double kOfSecond = 10;  ///< specification 3.11
  static constexpr double kAtOnce = 100;

  /// False: too many. now: seconds that only rise.
  bool take(const std::string& whose, double now) {
    constexpr std::size_t kHeldMax = 2000;  // as many tenants as a unit has, and more
    if (held_.size() >= kHeldMax && !held_.contains(whose))
      std::erase_if(held_, [now](const auto& entry) { return left(entry.second, now) >= kAtOnce; });
    auto& one = held_.try_emplace(whose, Bucket{kAtOnce, now}).first->second;
    one = {left(one, now), now};
    if (one.left < 1) return false;
    one.left -= 1;
    return true;
  }

 private:
  struct Bucket {
    double left;
    double at;
  };
  static double left(const Bucket& one, double now) { return std::min(kAtOnce, one.left + std::max(0.0, now - one.at) * kOfSecond); }
  std::map<std::string, Bucket> held_;
};

}  // namespace sekisho::control
