// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/net/address.h"

namespace sekisho {

/// What becomes a `sec` record (docs/logs.md): a code, and whom and what it is about.
template <typename Tenant>
struct Incident {
  Tenant tenant{};
  std::string code;
  std::string subject;  ///< the tenant's own name of what it is about: a gateway, a backend; empty: nothing
  Address source;       ///< none: of nobody's, or of several
  std::string user;     ///< empty: not known, or several
  std::uint64_t count = 1;
  std::uint64_t first_ns = 0, last_ns = 0;  ///< since 1970 UTC
};

/// Folds incidents: the first of a code, source and subject is told at once, those of the next minute together; a lock
/// is one of its user besides. A tenant has kOpenMax of them under way; what differs beyond is folded into one of its
/// code, of no source. Pure.
template <typename Tenant>
class IncidentFold {
 public:
  static constexpr std::uint64_t kFoldNs = std::uint64_t{60} * 1'000'000'000;
  static constexpr std::size_t kOpenMax = 64;

  /// `one` happened; its times are its own.
  void note(Incident<Tenant> one) {
    const bool lock = std::string_view(one.code).find("_LOCK") != std::string_view::npos;
    Key key{one.tenant, one.code, one.subject, one.source, lock ? one.user : std::string()};
    auto found = open_.find(key);
    if (found == open_.end()) {
      std::size_t mine = 0;
      for (auto it = open_.lower_bound({one.tenant, {}, {}, {}, {}}); it != open_.end() && std::get<0>(it->first) == one.tenant; ++it)
        ++mine;
      if (mine >= kOpenMax) key = {one.tenant, one.code, {}, {}, {}};
      found = open_.try_emplace(std::move(key)).first;
    }
    Open& open = found->second;
    open.first_ns = open.count == 0 ? one.first_ns : std::min(open.first_ns, one.first_ns);
    open.last_ns = open.count == 0 ? one.last_ns : std::max(open.last_ns, one.last_ns);
    open.user = open.count == 0 || open.user == one.user ? one.user : std::string();
    open.count += one.count;
  }
  /// What is to be told now, by a clock that only rises; `all`: also what would have waited.
  std::vector<Incident<Tenant>> take(std::uint64_t steady_ns, bool all = false) {
    std::vector<Incident<Tenant>> out;
    for (auto it = open_.begin(); it != open_.end();) {
      Open& open = it->second;
      const bool due = all || steady_ns >= open.next_ns;
      if (due && open.count == 0) {
        it = open_.erase(it);
        continue;
      }
      if (due) {
        const auto& [tenant, code, subject, source, user] = it->first;
        out.push_back({tenant, code, subject, source, open.user, open.count, open.first_ns, open.last_ns});
        open.count = 0;
        open.next_ns = steady_ns + kFoldNs;
      }
      ++it;
    }
    return out;
  }

 private:
  using Key = std::tuple<Tenant, std::string, std::string, Address, std::string>;
  struct Open {
    std::uint64_t count = 0, first_ns = 0, last_ns = 0;
    std::uint64_t next_ns = 0;  ///< not before
    std::string user;
  };
  std::map<Key, Open> open_;
};

}  // namespace sekisho
