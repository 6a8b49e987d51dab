// SPDX-License-Identifier: Apache-2.0
// NAT rules (specification 3.2). What needs names resolved is checked in control/compile/nat_compiler.cc.
#include <algorithm>
#include <set>
#include <vector>

#include "base/limits.h"
#include "control/config/text.h"
#include "control/config/validate_parts.h"
#include "filters/nat/port_block.h"

namespace sekisho::control {
namespace {

using Kind = model::NatRule;

class NatCheck {
 public:
  NatCheck(Reporter& reporter, const model::Tenant& tenant, const Path& path)
      : reporter_(reporter), tenant_(tenant), path_(path), zones_(tenant.zones().begin(), tenant.zones().end()) {
    for (const auto& object : tenant.addresses()) addresses_.insert(object.name());
    for (const auto& group : tenant.address_groups()) addresses_.insert(group.name());
    for (const auto& object : tenant.services()) services_.insert(object.name());
    for (const auto& group : tenant.service_groups()) services_.insert(group.name());
    for (const auto& policy : tenant.policies()) {
      for (const auto& rule : policy.rules()) {
        if (const auto uuid = parse_uuid(rule.id())) ids_.insert(*uuid);
      }
    }
    for (const auto& port : tenant.ports()) {
      for (const auto* texts : {&port.prefixes(), &port.addresses()}) {
        for (const auto& text : *texts) {
          if (const auto prefix = parse_prefix(text)) own_.push_back({prefix->first(), prefix->length});
        }
      }
    }
  }

  void check() {
    NameIndex names;
    index_names(reporter_, path_, "nat", tenant_.nat(), names);
    check_count(reporter_, Path(path_, "nat"), static_cast<std::size_t>(tenant_.nat_size()), limits::kNatRulesPerTenantMax, "NAT rules");
    for (int i = 0; i < tenant_.nat_size(); ++i) {
      const Path here(path_, "nat", i);
      const model::NatRule& rule = tenant_.nat(i);
      if (rule.kind() == Kind::NAT64) reporter_.error(Path(here, "kind"), "nat64 is not there yet");
      check_references(here, "source_zones", rule.source_zones(), zones_, "zone");
      check_references(here, "destination_zones", rule.destination_zones(), zones_, "zone");
      check_references(here, "source", rule.source(), addresses_, "address or group");
      check_references(here, "destination", rule.destination(), addresses_, "address or group");
      check_references(here, "service", rule.service(), services_, "service or group");
      check_nots(here, rule);
      check_translated(here, rule);
      check_fields(here, rule);
      check_id(here, rule);
    }
  }

 private:
  void check_references(const Path& here, std::string_view field, const Strings& names, const std::set<std::string_view>& known,
                        const std::string& what) {
    check_count(reporter_, Path(here, field), static_cast<std::size_t>(names.size()), limits::kRuleReferencesMax, "references");
    for (int i = 0; i < names.size(); ++i) {
      if (known.contains(names[i])) continue;
      reporter_.no_such_name(Path(here, field, i), {".zones", ".addresses", ".address_groups", ".services", ".service_groups"},
                             "there is no " + what + " named \"" + names[i] + '"');
    }
  }

  void check_id(const Path& here, const model::NatRule& rule) {
    if (!rule.has_id()) return;
    const auto uuid = parse_uuid(rule.id());
    if (!uuid) {
      reporter_.error(Path(here, "id"), '"' + rule.id() + "\" is not a UUID, like 6f1d2c84-0000-4000-8000-000000000001");
    } else if (!ids_.insert(*uuid).second) {
      reporter_.error(Path(here, "id"), "the id " + rule.id() + " is used twice");
    }
  }

  void check_nots(const Path& here, const model::NatRule& rule) {
    const auto check = [&](std::string_view flag, bool negated, const Strings& names) {
      if (negated && names.empty()) reporter_.error(Path(here, flag), "not any matches nothing");
    };
    check("source_not", rule.source_not(), rule.source());
    check("destination_not", rule.destination_not(), rule.destination());
    check("service_not", rule.service_not(), rule.service());
  }

  void check_translated(const Path& here, const model::NatRule& rule) {
    const Path list(here, "translated");
    check_count(reporter_, list, static_cast<std::size_t>(rule.translated_size()), limits::kAddressEntriesPerObjectMax, "entries");
    if ((rule.kind() == Kind::NO_NAT) != rule.translated().empty()) {
      reporter_.error(list, rule.kind() == Kind::NO_NAT ? "a no-nat rule translates to nothing"
                                                        : "this rule has to say what it translates to");
    }
    const bool pool = rule.kind() == Kind::SNAT || rule.kind() == Kind::NAPT;
    for (int i = 0; i < rule.translated_size(); ++i) {
      const Path at(here, "translated", i);
      const auto span = parse_address_entry(rule.translated(i));
      if (!span) {
        reporter_.error(at, '"' + rule.translated(i) + "\" is not an address, a prefix with its host bits clear, or a range");
      } else if (pool && span->low.family != Family::kIpv4) {
        reporter_.error(at, "snat and napt are for IPv4; IPv6 prefixes are translated by nptv6");
      } else if (rule.kind() == Kind::DNAT) {
        if (rule.translated_size() != 1 || span->low != span->high) reporter_.error(at, "a dnat rule leads to one inside address");
      } else if (!owned(*span)) {
        reporter_.error(at, rule.translated(i) + " belongs neither to the prefixes of one of the tenant's shares nor to a subnet of "
                                                 "one of its ports");
      }
    }
  }

  [[nodiscard]] bool owned(const AddressSpan& span) const {
    return std::any_of(own_.begin(), own_.end(), [&](const Prefix& own) { return own.contains(span.low) && own.contains(span.high); });
  }

  void check_fields(const Path& here, const model::NatRule& rule) {
    if (rule.translated_port() > 0xffff) reporter_.error(Path(here, "translated_port"), "a port lies between 1 and 65535");
    if (rule.translated_port() != 0 && rule.kind() != Kind::DNAT) reporter_.error(Path(here, "translated_port"), "only dnat rules have it");
    const std::uint32_t block = rule.block_ports();
    if (block != 0 && rule.kind() != Kind::NAPT) reporter_.error(Path(here, "block_ports"), "only napt rules have it");
    if (block % 2 != 0 || block > 0x10000 - filters::kNatPortFirst || (block != 0 && block < 2)) {
      reporter_.error(Path(here, "block_ports"), "a block has an even number of ports, at most 64512");
    }
    const bool both_ways = rule.kind() == Kind::STATIC || rule.kind() == Kind::NPTV6;
    if (both_ways && !rule.service().empty()) reporter_.error(Path(here, "service"), "1:1 and nptv6 are for all services");
    if (rule.kind() == Kind::DNAT && rule.destination().empty()) {
      reporter_.error(Path(here, "destination"), "a dnat rule has to name its destination");
    }
    if (count_characters(rule.memo()) > kMemoCharactersMax || find_bad_text(rule.memo()) != std::string::npos) {
      reporter_.error(Path(here, "memo"), "a memo has at most 256 characters and no control characters");
    }
  }

  static constexpr std::size_t kMemoCharactersMax = 256;
  Reporter& reporter_;
  const model::Tenant& tenant_;
  const Path& path_;
  std::set<std::string_view> zones_, addresses_, services_;
  std::set<Uuid> ids_;       ///< of rules and NAT rules: they are counted in one place
  std::vector<Prefix> own_;  ///< what the tenant may be known by: its shares' prefixes, its ports' subnets
};

}  // namespace

void validate_nat(Reporter& reporter, const model::Tenant& tenant, const Path& path) {
  NatCheck(reporter, tenant, path).check();
}

}  // namespace sekisho::control
