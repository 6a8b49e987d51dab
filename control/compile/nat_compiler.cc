// SPDX-License-Identifier: Apache-2.0
#include "control/compile/nat_compiler.h"

#include "filters/nat/nat_rules.h"

namespace sekisho::control {
namespace {

using filters::snapshot::AddressRange;
using filters::snapshot::NatKind;
using filters::snapshot::NatRule;

constexpr std::uint16_t kBlockPortsDefault = 1008;  // 64 inside addresses to an outside one

NatKind kind_of(model::NatRule::Kind kind) {
  switch (kind) {
    case model::NatRule::SNAT: return NatKind::kSnat;
    case model::NatRule::DNAT: return NatKind::kDnat;
    case model::NatRule::STATIC: return NatKind::kStatic;
    case model::NatRule::NAPT: return NatKind::kNapt;
    case model::NatRule::NPTV6: return NatKind::kNptv6;
    case model::NatRule::NO_NAT:
    case model::NatRule::NAT64: break;  // validate refuses nat64
  }
  return NatKind::kNoNat;
}

std::uint8_t log_of(model::NatRule::Log log) {
  using namespace filters::snapshot;
  switch (log) {
    case model::NatRule::NONE: return kLogNone;
    case model::NatRule::START: return kLogStart;
    case model::NatRule::END: return kLogEnd;
    case model::NatRule::BOTH: return kLogStart | kLogEnd;
  }
  return kLogNone;
}

/// The one prefix a range is, if it is one.
std::optional<std::uint8_t> prefix_length(const AddressRange& range) {
  for (unsigned length = 0; length <= range.low.bits(); ++length) {
    const Prefix prefix{range.low, static_cast<std::uint8_t>(length)};
    if (prefix.first() == range.low && prefix.last() == range.high) return prefix.length;
  }
  return std::nullopt;
}

class NatCompiler {
 public:
  NatCompiler(filters::SnapshotBuilder& builder, Reporter& reporter, RuleCompiler& rules, Ids& ids, const model::Tenant& tenant)
      : builder_(builder), reporter_(reporter), rules_(rules), ids_(ids), tenant_(tenant) {}

  void compile(const Path& here, const model::NatRule& rule, int number) {
    using Negate = RuleCompiler::Negate;
    NatRule out{};
    out.uuid = nat_rule_uuid(ids_, tenant_, rule);
    out.id = ids_.number(IdKind::kRule, rule_key(tenant_.service_code(), out.uuid));
    if (out.id == 0) return reporter_.error(here, "every rule number was given out; this unit cannot take new rules");
    out.number = static_cast<std::uint16_t>(number);
    out.log = log_of(rule.log());
    const auto source = rules_.addresses(Path(here, "source"), rule.source(), Negate{rule.source_not()});
    const auto destination = rules_.addresses(Path(here, "destination"), rule.destination(), Negate{rule.destination_not()});
    const auto service = rules_.services(Path(here, "service"), rule.service(), Negate{rule.service_not()});
    if (!service) return;
    if (source.nothing() || destination.nothing() || service->nothing()) {
      return reporter_.warning(here, "the NAT rule \"" + rule.name() + "\" can match nothing and is left out");
    }
    out.name = builder_.string(rule.name());
    out.kind = kind_of(rule.kind());
    out.source_zones = rules_.zone_mask(rule.source_zones());
    out.destination_zones = rules_.zone_mask(rule.destination_zones());
    out.sources = source.run;
    out.destinations = destination.run;
    out.services = service->run;
    out.any_source = source.any;
    out.any_destination = destination.any;
    out.any_service = service->any;
    out.translated = translated(rule);
    out.translated_port = static_cast<std::uint16_t>(rule.translated_port());
    if (check(here, rule, out)) builder_.nat_rules.push_back(out);
  }

 private:
  filters::snapshot::Range translated(const model::NatRule& rule) {
    std::vector<AddressSpan> spans;
    for (const auto& text : rule.translated()) spans.push_back(*parse_address_entry(text));
    const auto first = static_cast<std::uint32_t>(builder_.address_ranges.size());
    const AddressSet set(std::move(spans));
    for (const AddressSpan& span : set.spans()) builder_.address_ranges.push_back({span.low, span.high, {}});
    return {first, static_cast<std::uint32_t>(set.spans().size())};
  }

  [[nodiscard]] std::span<const AddressRange> ranges(filters::snapshot::Range run) const {
    return std::span<const AddressRange>(builder_.address_ranges).subspan(run.first, run.count);
  }

  bool check(const Path& here, const model::NatRule& rule, NatRule& out) {
    const auto inside = ranges(out.sources);
    const auto outside = ranges(out.translated);
    if (out.kind == NatKind::kNapt) {
      out.block_ports = rule.block_ports() != 0 ? static_cast<std::uint16_t>(rule.block_ports()) : kBlockPortsDefault;
      if (out.any_source == 1) return refuse(Path(here, "source"), "a napt rule deals its ports to its sources: they must not be any");
      const filters::PortBlocks blocks(inside, outside, out.block_ports);
      if (blocks.inside_addresses() <= blocks.blocks()) return true;
      return refuse(Path(here, "translated"),
                    std::to_string(blocks.inside_addresses()) + " inside addresses with " + std::to_string(out.block_ports) +
                        " ports each need more than these outside addresses, which have " + std::to_string(blocks.blocks()) +
                        " such blocks");
    }
    if (out.kind == NatKind::kDnat) {
      if (out.any_destination == 1) return refuse(Path(here, "destination"), "a dnat rule's destination must not be any");
      return true;
    }
    if (out.kind != NatKind::kStatic && out.kind != NatKind::kNptv6) return true;
    if (inside.size() != 1) return refuse(Path(here, "source"), "both sides of this rule are one run of addresses, and its source is not");
    if (outside.size() != 1 || !filters::range_sizes_equal(inside[0], outside[0])) {
      return refuse(Path(here, "translated"), "source and translated are not of one family and equally many addresses");
    }
    if (out.kind == NatKind::kStatic) return true;
    const auto length = prefix_length(inside[0]);
    if (!length || *length > 112 || prefix_length(outside[0]) != length || inside[0].low.family != Family::kIpv6) {
      return refuse(Path(here, "translated"), "both sides of an nptv6 rule are IPv6 prefixes of equal length, at most /112");
    }
    out.prefix_length = *length;
    return true;
  }

  bool refuse(const Path& path, std::string why) {
    reporter_.error(path, std::move(why));
    return false;
  }

  filters::SnapshotBuilder& builder_;
  Reporter& reporter_;
  RuleCompiler& rules_;
  Ids& ids_;
  const model::Tenant& tenant_;
};

}  // namespace

void compile_nat(filters::SnapshotBuilder& builder, Reporter& reporter, RuleCompiler& rules, Ids& ids, const model::Tenant& tenant,
                 const Path& tenant_path) {
  NatCompiler compiler(builder, reporter, rules, ids, tenant);
  for (int i = 0; i < tenant.nat_size(); ++i) {
    const Path here(tenant_path, "nat", i);
    if (tenant.nat(i).enabled()) compiler.compile(here, tenant.nat(i), i + 1);
  }
}

}  // namespace sekisho::control
