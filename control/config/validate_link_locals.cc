// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "control/config/validate_parts.h"

/// Specification 3.5: a link-local that a binding lists is nobody else's on its segment, but for hosts of one VRRP group. What a bound
/// MAC derives belongs to its host from the start, as in the data plane.
namespace sekisho::control {
namespace {

class LinkLocalCheck {
 public:
  LinkLocalCheck(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports)
      : reporter_(reporter), tenant_(tenant), path_(path), ports_(ports), homes_(homes_of(tenant)) {}

  void check() {
    for (int i = 0; i < tenant_.bindings_size(); ++i) collect(i);
    for (auto& [where, owners] : owners_) {
      for (auto later = owners.begin(); later != owners.end(); ++later) {
        if (later->listed < 0) continue;
        const auto first = std::find_if(owners.begin(), later, [&](const Owner& o) { return !share_group(o.binding, later->binding); });
        if (first != later) report(where.second, *first, *later);
      }
    }
  }

 private:
  struct Owner {
    int binding;
    int listed;  ///< place in its list; -1: a MAC derives it
  };

  /// Of each port the first one that has a subnet in common with it, directly or by others: one segment.
  static std::vector<int> homes_of(const model::Tenant& tenant) {
    std::vector<int> above(static_cast<std::size_t>(tenant.ports_size()));
    std::iota(above.begin(), above.end(), 0);
    const auto top = [&above](int at) {
      while (above[static_cast<std::size_t>(at)] != at) at = above[static_cast<std::size_t>(at)];
      return at;
    };
    std::map<std::pair<Address, std::uint8_t>, int> first;
    for (int i = 0; i < tenant.ports_size(); ++i) {
      for (const std::string& text : tenant.ports(i).addresses()) {
        const auto own = parse_prefix(text);
        if (!own || tenant.ports(i).kind() != model::Port::SEGMENT) continue;
        const auto [known, fresh] = first.try_emplace({own->first(), own->length}, i);
        if (!fresh) above[static_cast<std::size_t>(std::max(top(i), top(known->second)))] = std::min(top(i), top(known->second));
      }
    }
    for (int i = 0; i < tenant.ports_size(); ++i) above[static_cast<std::size_t>(i)] = top(i);
    return above;
  }

  void collect(int index) {
    const auto& binding = tenant_.bindings(index);
    const auto port = ports_.find(binding.port());
    if (port == ports_.end() || binding.state() != model::Binding::ACTIVE) return;
    const int home = homes_[static_cast<std::size_t>(port->second)];
    for (const auto& pair : binding.pairs()) {
      if (const auto mac = parse_mac(pair.mac())) add(home, eui64_link_local(*mac), {index, -1});
    }
    for (int i = 0; i < binding.lla().list_size(); ++i) {
      if (const auto address = parse_address(binding.lla().list(i))) add(home, *address, {index, i});
    }
  }

  /// Those that derive an address stand before those that list it.
  void add(int home, const Address& address, Owner owner) {
    auto& owners = owners_[{home, address}];
    const auto lists = [](const Owner& other) { return other.listed >= 0; };
    owners.insert(owner.listed >= 0 ? owners.end() : std::find_if(owners.begin(), owners.end(), lists), owner);
  }

  [[nodiscard]] bool share_group(int a, int b) const {
    const auto& left = tenant_.bindings(a).vrids();
    const auto& right = tenant_.bindings(b).vrids();
    return a == b || std::find_first_of(left.begin(), left.end(), right.begin(), right.end()) != left.end();
  }

  void report(const Address& address, const Owner& first, const Owner& later) {
    const Path binding(path_, "bindings", later.binding);
    const Path lla(binding, "lla");
    const std::string whose = (first.listed < 0 ? " belongs to a MAC of \"" : " is already listed by \"") +
                              tenant_.bindings(first.binding).name();
    reporter_.error(Path(lla, "list", later.listed),
                    to_string(address) + whose + "\"; hosts of one segment share a link-local only within one VRRP group");
  }

  Reporter& reporter_;
  const model::Tenant& tenant_;
  const Path& path_;
  const NameIndex& ports_;
  std::vector<int> homes_;
  std::map<std::pair<int, Address>, std::vector<Owner>> owners_;  ///< by segment and address
};

}  // namespace

void validate_link_locals(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports) {
  LinkLocalCheck(reporter, tenant, path, ports).check();
}

}  // namespace sekisho::control
