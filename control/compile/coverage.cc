// SPDX-License-Identifier: Apache-2.0
// Overview. A rule of one family is a product of six sets: source zones, destination zones, sources, destinations,
// services (protocol x ports) and sets of groups a user may be in. What the rules above leave of it is found by
// subtracting them one after another: a product minus a product is at most six products, each smaller in one factor. The
// search goes depth first and stops at the first piece that no rule above touches: a packet in it reaches the rule.
// Limits. CoverageBudget; a rule for which it is spent is undecided.
#include "control/compile/coverage.h"

#include <algorithm>
#include <array>
#include <set>
#include <span>

#include "filters/policy/probes.h"

namespace sekisho::control {
namespace {

using filters::PolicyQuery;
using filters::SnapshotView;
using filters::snapshot::Rule;
using filters::snapshot::Service;

__extension__ using Number = unsigned __int128;  // an address of either family

constexpr int kRounds = 8;  // packets of each family tried before anything is computed

template <typename T>
struct Span {
  T low;
  T high;
};
using Addresses = std::vector<Span<Number>>;  // sorted, disjoint

/// Protocol, source port or ICMP type, destination port or ICMP code.
using ServiceBox = std::array<Span<std::uint32_t>, 3>;
using Services = std::vector<ServiceBox>;

/// Who is in one of each of `needs`, and in none of `avoids`.
struct Users {
  std::vector<std::uint64_t> needs;
  std::uint64_t avoids = 0;
  [[nodiscard]] bool empty() const {
    return std::any_of(needs.begin(), needs.end(), [this](std::uint64_t groups) { return (groups & ~avoids) == 0; });
  }
};

struct Product {
  std::uint64_t source_zones;
  std::uint64_t destination_zones;
  Addresses sources;
  Addresses destinations;
  Services services;
  Users users;
  [[nodiscard]] bool empty() const {
    return source_zones == 0 || destination_zones == 0 || sources.empty() || destinations.empty() || services.empty() || users.empty();
  }
};

Number number_of(const Address& address) {
  Number out = 0;
  for (std::size_t i = 0; i < address.bits() / 8; ++i) out = out << 8 | address.bytes[i];
  return out;
}

Address address_of(Number number, Family family) {
  Address out{.bytes = {}, .family = family};
  for (std::size_t i = out.bits() / 8; i-- > 0; number >>= 8) out.bytes[i] = static_cast<std::uint8_t>(number);
  return out;
}

// ---- Sets ----------------------------------------------------------------------------------------------------------

Addresses common(const Addresses& a, const Addresses& b) {
  Addresses out;
  for (std::size_t i = 0, k = 0; i < a.size() && k < b.size();) {
    const Span<Number> both{std::max(a[i].low, b[k].low), std::min(a[i].high, b[k].high)};
    if (both.low <= both.high) out.push_back(both);
    ++(a[i].high < b[k].high ? i : k);
  }
  return out;
}

Addresses without(const Addresses& a, const Addresses& b) {
  Addresses out;
  std::size_t k = 0;
  for (Span<Number> left : a) {
    while (k < b.size() && b[k].high < left.low) ++k;
    bool gone = false;
    for (std::size_t c = k; !gone && c < b.size() && b[c].low <= left.high; ++c) {
      if (b[c].low > left.low) out.push_back({left.low, b[c].low - 1});
      gone = b[c].high >= left.high;
      if (!gone) left.low = b[c].high + 1;
    }
    if (!gone) out.push_back(left);
  }
  return out;
}

std::optional<ServiceBox> common(const ServiceBox& a, const ServiceBox& b) {
  ServiceBox out;
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = {std::max(a[i].low, b[i].low), std::min(a[i].high, b[i].high)};
    if (out[i].low > out[i].high) return std::nullopt;
  }
  return out;
}

Services common(const Services& a, const Services& b) {
  Services out;
  for (const ServiceBox& one : a) {
    for (const ServiceBox& other : b) {
      if (const auto both = common(one, other)) out.push_back(*both);
    }
  }
  return out;
}

Services without(Services a, const Services& b) {
  for (const ServiceBox& hole : b) {
    Services left;
    for (ServiceBox box : a) {
      const auto both = common(box, hole);
      if (!both) {
        left.push_back(box);
        continue;
      }
      for (std::size_t i = 0; i < box.size(); ++i) {  // what lies below and above the hole in each direction in turn
        ServiceBox part = box;
        part[i] = {box[i].low, (*both)[i].low - 1};
        if ((*both)[i].low > box[i].low) left.push_back(part);
        part[i] = {(*both)[i].high + 1, box[i].high};
        if ((*both)[i].high < box[i].high) left.push_back(part);
        box[i] = (*both)[i];
      }
    }
    a = std::move(left);
  }
  return a;
}

Users common(Users a, const Users& b) {
  a.needs.insert(a.needs.end(), b.needs.begin(), b.needs.end());
  a.avoids |= b.avoids;
  return a;
}

/// `b` is a rule's: it needs one set of groups, or none, and avoids none.
Users without(Users a, const Users& b) {
  if (b.needs.empty()) return {.needs = {0}, .avoids = 0};  // nobody is left
  a.avoids |= b.needs.front();
  return a;
}

std::uint64_t work_of(const Product& a, const Product& b) {
  return a.sources.size() + b.sources.size() + a.destinations.size() + b.destinations.size() +
         a.services.size() * b.services.size() + 1;
}

/// Whether two products have a packet in common.
bool meet(const Product& a, const Product& b) {
  return (a.source_zones & b.source_zones) != 0 && (a.destination_zones & b.destination_zones) != 0 &&
         !common(a.sources, b.sources).empty() && !common(a.destinations, b.destinations).empty() &&
         !common(a.users, b.users).empty() && !common(a.services, b.services).empty();
}

/// Appends the pieces of `from` outside `hole`, which meets it; the widest, as people write rules, last.
void subtract(Product from, const Product& hole, std::vector<Product>& out) {
  const auto piece = [&](auto factor, auto left) {
    Product part = from;
    part.*factor = std::move(left);
    if (!part.empty()) out.push_back(std::move(part));
  };
  piece(&Product::source_zones, from.source_zones & ~hole.source_zones);
  from.source_zones &= hole.source_zones;
  piece(&Product::destination_zones, from.destination_zones & ~hole.destination_zones);
  from.destination_zones &= hole.destination_zones;
  piece(&Product::users, without(from.users, hole.users));
  from.users = common(from.users, hole.users);
  piece(&Product::services, without(from.services, hole.services));
  from.services = common(from.services, hole.services);
  piece(&Product::destinations, without(from.destinations, hole.destinations));
  from.destinations = common(from.destinations, hole.destinations);
  piece(&Product::sources, without(from.sources, hole.sources));
}

// ---- Rules as products ---------------------------------------------------------------------------------------------

Addresses addresses_of(const SnapshotView& view, filters::snapshot::Range run, bool any, Family family) {
  if (any) return {{0, family == Family::kIpv4 ? Number{0xffffffffU} : ~Number{0}}};
  Addresses out;
  for (const auto& range : filters::slice(view.address_ranges(), run)) {
    if (range.low.family == family) out.push_back({number_of(range.low), number_of(range.high)});
  }
  return out;
}

Services services_of(const SnapshotView& view, const Rule& rule) {
  constexpr Span<std::uint32_t> kAll{0, 0xffff};
  if (rule.any_service == 1) return {{Span<std::uint32_t>{0, 0xff}, kAll, kAll}};
  Services out;
  for (const Service& service : filters::slice(view.services(), rule.services)) {
    if (service.any_protocol == 1) return {{Span<std::uint32_t>{0, 0xff}, kAll, kAll}};
    const Span<std::uint32_t> protocol{service.protocol, service.protocol};
    if (filters::is_icmp(service.protocol)) {  // to the end, as in the rule of any service
      out.push_back({protocol,
                     {service.icmp_type_low, service.icmp_type_high == 0xff ? 0xffffU : service.icmp_type_high},
                     {service.icmp_code_low, service.icmp_code_high == 0xff ? 0xffffU : service.icmp_code_high}});
    } else {
      out.push_back(
          {protocol, {service.source_low, service.source_high}, {service.destination_low, service.destination_high}});
    }
  }
  return out;
}

/// What decides quickly that two rules do not meet: the smallest interval around each set.
struct Hull {
  std::uint64_t source_zones, destination_zones;
  Span<Number> source, destination;
  ServiceBox service;
  bool empty;
};

bool apart(const Hull& a, const Hull& b) {
  const auto outside = [](const auto& x, const auto& y) { return x.low > y.high || y.low > x.high; };
  return (a.source_zones & b.source_zones) == 0 || (a.destination_zones & b.destination_zones) == 0 || b.empty ||
         outside(a.service[0], b.service[0]) || outside(a.service[1], b.service[1]) ||
         outside(a.service[2], b.service[2]) || outside(a.source, b.source) || outside(a.destination, b.destination);
}

Hull hull_of(const Product& product) {
  Hull out{.source_zones = product.source_zones,
           .destination_zones = product.destination_zones,
           .source = {},
           .destination = {},
           .service = {},
           .empty = product.empty()};
  if (out.empty) return out;
  out.source = {product.sources.front().low, product.sources.back().high};
  out.destination = {product.destinations.front().low, product.destinations.back().high};
  out.service = product.services.front();
  for (const ServiceBox& box : product.services) {
    for (std::size_t i = 0; i < box.size(); ++i) {
      out.service[i] = {std::min(out.service[i].low, box[i].low), std::max(out.service[i].high, box[i].high)};
    }
  }
  return out;
}

/// The rules of a tenant in one family.
class FamilyRules {
 public:
  FamilyRules(const SnapshotView& view, std::uint32_t tenant_index, Family family)
      : tenant_index_(tenant_index), family_(family), first_(view.tenants()[tenant_index].rules.first) {
    const auto& tenant = view.tenants()[tenant_index];
    const std::uint64_t own =
        tenant.zones.count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << tenant.zones.count) - 1;
    for (const Rule& rule : filters::slice(view.rules(), tenant.rules)) {
      products_.push_back({.source_zones = rule.source_zones & own,
                           .destination_zones = rule.destination_zones & own,
                           .sources = addresses_of(view, rule.sources, rule.any_source == 1, family),
                           .destinations = addresses_of(view, rule.destinations, rule.any_destination == 1, family),
                           .services = services_of(view, rule),
                           .users = {.needs = rule.user_groups == 0
                                          ? std::vector<std::uint64_t>{} : std::vector{rule.user_groups}, .avoids = 0}});
      hulls_.push_back(hull_of(products_.back()));
      timed_.push_back(rule.timed == 1);
    }
  }

  enum class Answer : std::uint8_t { kLeft, kNothing, kSpent };
  /// Whether the rules above leave a packet of rule `index` (in kRules), which is then put into `packet`; else who take
  /// them.
  Answer search(std::uint32_t index, std::uint64_t& budget, PolicyQuery& packet, std::set<std::uint32_t>& by) const {
    const std::size_t own = index - first_;
    if (products_[own].empty()) return Answer::kNothing;
    std::vector<std::size_t> above;
    for (std::size_t i = 0; i < own; ++i) {
      if (!timed_[i] && !apart(hulls_[own], hulls_[i])) above.push_back(i);
    }
    if (budget < own) return Answer::kSpent;
    budget -= own / 8;
    if (const auto one = whole(own, above, budget)) {
      by.insert(static_cast<std::uint32_t>(first_ + *one));
      return Answer::kNothing;
    }
    return search_pieces(own, above, budget, packet, by);
  }

 private:
  struct Piece {
    Product product;
    std::size_t next;  ///< rules of `above` before this one do not meet it
  };

  /// A single rule that takes all of rule `own`.
  std::optional<std::size_t> whole(std::size_t own, const std::vector<std::size_t>& above,
                                   std::uint64_t& budget) const {
    std::vector<Product> left;
    for (const std::size_t i : above) {
      const std::uint64_t work = work_of(products_[own], products_[i]);
      if (budget < work) return std::nullopt;
      budget -= work;
      if (!meet(products_[own], products_[i])) continue;
      left.clear();
      subtract(products_[own], products_[i], left);
      if (left.empty()) return i;
    }
    return std::nullopt;
  }

  Answer search_pieces(std::size_t own, const std::vector<std::size_t>& above, std::uint64_t& budget,
                       PolicyQuery& packet, std::set<std::uint32_t>& by) const {
    std::vector<Piece> pieces{{products_[own], 0}};
    std::vector<Product> left;
    while (!pieces.empty()) {
      Piece piece = std::move(pieces.back());
      pieces.pop_back();
      bool met = false;
      for (; !met && piece.next < above.size(); ++piece.next) {
        const Product& hole = products_[above[piece.next]];
        const std::uint64_t work = work_of(piece.product, hole);
        if (budget < work) return Answer::kSpent;
        budget -= work;
        met = meet(piece.product, hole);
        if (!met) continue;
        by.insert(static_cast<std::uint32_t>(first_ + above[piece.next]));
        left.clear();
        subtract(std::move(piece.product), hole, left);
        for (Product& product : left) pieces.push_back({std::move(product), piece.next + 1});
      }
      if (met) continue;
      packet = packet_in(piece.product);
      return Answer::kLeft;
    }
    return Answer::kNothing;
  }

  [[nodiscard]] PolicyQuery packet_in(const Product& product) const {
    const ServiceBox& service = product.services.front();
    PolicyQuery out{};
    out.tenant_index = tenant_index_;
    out.source_zone = static_cast<std::uint8_t>(std::countr_zero(product.source_zones));
    out.destination_zone = static_cast<std::uint8_t>(std::countr_zero(product.destination_zones));
    out.source = address_of(product.sources.front().low, family_);
    out.destination = address_of(product.destinations.front().low, family_);
    for (const std::uint64_t groups : product.users.needs) {
      const std::uint64_t left = groups & ~product.users.avoids;
      out.user_groups |= left & (~left + 1);
    }
    // Of any protocols, one people know.
    const auto takes = [&](std::uint32_t protocol) {
      return service[0].low <= protocol && protocol <= service[0].high;
    };
    out.protocol = static_cast<std::uint8_t>(takes(6) ? 6U : takes(17) ? 17U : service[0].low);
    if (filters::is_icmp(out.protocol)) {
      out.icmp_type = static_cast<std::uint8_t>(service[1].low);
      out.icmp_code = static_cast<std::uint8_t>(service[2].low);
    } else {
      out.source_port = static_cast<std::uint16_t>(service[1].low);
      out.destination_port = static_cast<std::uint16_t>(service[2].low);
    }
    return out;
  }

  std::uint32_t tenant_index_;
  Family family_;
  std::uint32_t first_;
  std::vector<Product> products_;
  std::vector<Hull> hulls_;
  std::vector<bool> timed_;  ///< stands only at times: takes nothing away from the rules below for good
};

/// Tries a few packets of every rule. What none of them settles is left undecided, with the best example met.
void try_packets(const SnapshotView& view, std::uint32_t tenant_index, std::vector<RuleReach>& rules) {
  filters::ProbeMaker maker(tenant_index);
  for (int round = 0; round < kRounds; ++round) {
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      std::vector<PolicyQuery> packets;
      std::vector<RuleReach*> asked;
      for (RuleReach& rule : rules) {
        if (rule.reach == Reach::kReached) continue;
        const auto packet = maker.inside(view, tenant_index, rule.rule, family);
        if (!packet) continue;
        packets.push_back(*packet);
        asked.push_back(&rule);
      }
      std::vector<std::uint32_t> answers(packets.size());
      filters::match_linear(view, packets, answers);
      for (std::size_t i = 0; i < packets.size(); ++i) {
        RuleReach& rule = *asked[i];
        const bool other = view.rules()[answers[i]].action != view.rules()[rule.rule].action;
        if (answers[i] == rule.rule) rule.reach = Reach::kReached;
        if (!rule.example || other || rule.reach == Reach::kReached) {
          rule.example = packets[i];
          rule.taken_by = answers[i];
        }
      }
    }
  }
}

}  // namespace

std::vector<RuleReach> find_coverage(const SnapshotView& view, std::uint32_t tenant_index,
                                     const CoverageBudget& budget) {
  std::vector<RuleReach> out;
  const auto& tenant = view.tenants()[tenant_index];
  if (tenant.zones.count == 0) return out;
  for (std::uint32_t i = tenant.rules.first; i < tenant.rules.first + tenant.rules.count; ++i) {
    if (view.rules()[i].is_default == 0)
      out.push_back({.rule = i, .reach = Reach::kUndecided, .example = {}, .taken_by = 0, .by = {}});
  }
  try_packets(view, tenant_index, out);
  const std::array<FamilyRules, 2> families{FamilyRules(view, tenant_index, Family::kIpv4),
                                            FamilyRules(view, tenant_index, Family::kIpv6)};
  std::uint64_t left_in_all = budget.in_all;
  for (RuleReach& rule : out) {
    if (rule.reach == Reach::kReached) continue;
    const std::uint64_t most = std::min(budget.per_rule, left_in_all);
    std::uint64_t left = most;
    std::set<std::uint32_t> by;
    PolicyQuery packet{};
    rule.reach = Reach::kCovered;
    for (const FamilyRules& family : families) {
      const auto answer = family.search(rule.rule, left, packet, by);
      if (answer == FamilyRules::Answer::kNothing) continue;
      rule.reach = answer == FamilyRules::Answer::kLeft ? Reach::kReached : Reach::kUndecided;
      if (rule.reach == Reach::kReached) rule.example = packet, rule.taken_by = rule.rule;
      break;
    }
    if (rule.reach == Reach::kCovered) rule.by.assign(by.begin(), by.end());
    left_in_all -= most - left;
  }
  return out;
}

}  // namespace sekisho::control
