// SPDX-License-Identifier: Apache-2.0
#include "control/compile/rule_compiler.h"

#include <algorithm>

#include "base/limits.h"
#include "control/compile/compiler.h"
#include "control/compile/user_compiler.h"
#include "control/config/timetable.h"

namespace sekisho::control {
namespace {

using filters::snapshot::Action;
using filters::snapshot::kNone;

constexpr std::uint64_t kEveryZone = ~std::uint64_t{0};
// Half the largest snapshot: what is beyond would be refused there, so it is not built here.
constexpr std::size_t kAddressRangesMax = limits::kSnapshotBytesMax / 2 / sizeof(filters::snapshot::AddressRange);
// One group may name others a thousandfold: past this a rule is beyond any classifier, and the compiler's memory is bounded.
constexpr std::size_t kAddressRangesPerRuleMax = 100'000;
constexpr std::size_t kAddressesGatheredMax = 20'000'000;  // a tenant; some seconds of work
constexpr std::size_t kServicesMax = limits::kSnapshotBytesMax / 4 / sizeof(filters::snapshot::Service);

Action action_of(model::Rule::Action action) {
  switch (action) {
    case model::Rule::ALLOW: return Action::kAllow;
    case model::Rule::DROP: return Action::kDrop;
    case model::Rule::REJECT: return Action::kReject;
  }
  return Action::kDrop;
}

std::uint8_t log_of(const model::Rule& rule) {
  using namespace filters::snapshot;
  switch (rule.log()) {
    case model::Rule::AUTO: return rule.action() == model::Rule::ALLOW ? kLogEnd : kLogDropFolded;
    case model::Rule::NONE: return kLogNone;
    case model::Rule::START: return kLogStart;
    case model::Rule::END: return kLogEnd;
    case model::Rule::BOTH: return kLogStart | kLogEnd;
    case model::Rule::FOLDED: return kLogDropFolded;
    case model::Rule::EACH: return kLogDropEach;
  }
  return kLogNone;
}

std::uint8_t log_of(model::DropLog log) {
  using namespace filters::snapshot;
  return log == model::DROP_FOLDED ? kLogDropFolded : log == model::DROP_EACH ? kLogDropEach : kLogNone;
}

/// Gathers spans of many members without ever holding many more than one rule may have.
class Gatherer {
 public:
  explicit Gatherer(std::size_t& gathered) : gathered_(gathered) {}
  void add(const std::vector<AddressSpan>& more) {
    gathered_ += more.size();
    too_many_ |= gathered_ > kAddressesGatheredMax;
    if (too_many_) return;
    spans_.insert(spans_.end(), more.begin(), more.end());
    if (spans_.size() <= 4 * kAddressRangesPerRuleMax) return;
    spans_ = AddressSet(std::move(spans_)).spans();
    if (spans_.size() <= kAddressRangesPerRuleMax) return;
    too_many_ = true;
    spans_.clear();
  }
  [[nodiscard]] AddressSet take() { return AddressSet(std::move(spans_)); }
  [[nodiscard]] bool too_many() const { return too_many_; }

 private:
  std::size_t& gathered_;
  std::vector<AddressSpan> spans_;
  bool too_many_ = false;
};

std::string list_key(const google::protobuf::RepeatedPtrField<std::string>& names, bool negate) {
  std::string out(negate ? "!" : "=");
  for (const auto& name : names) out += name + '\x1f';
  return out;
}

}  // namespace

RuleCompiler::RuleCompiler(filters::SnapshotBuilder& builder, Ids& ids, Reporter& reporter, const model::Tenant& tenant,
                           const Surroundings& around, std::vector<RulePlace>& places)
    : builder_(builder),
      ids_(ids),
      reporter_(reporter),
      tenant_(tenant),
      around_(around),
      devices_(tenant),
      places_(places) {
  for (int i = 0; i < tenant.zones_size(); ++i) zones_.emplace(tenant.zones(i), std::uint64_t{1} << i);
  for (const auto& object : tenant.addresses()) address_objects_.emplace(object.name(), &object);
  for (const auto& group : tenant.address_groups()) address_groups_.emplace(group.name(), &group);
  for (const auto& object : tenant.services()) service_objects_.emplace(object.name(), &object);
  for (const auto& group : tenant.service_groups()) service_groups_.emplace(group.name(), &group);
}

void RuleCompiler::compile(const Path& tenant_path) {
  compile_guards();
  for (int i = 0; i < tenant_.policies_size(); ++i) {
    const auto index = static_cast<std::uint32_t>(builder_.policies.size());
    builder_.policies.push_back({builder_.string(tenant_.policies(i).name()), around_.index, 0});
    policy_place_ = i;
    compile_policy(Path(tenant_path, "policies", i), tenant_.policies(i), index);
  }
  policy_place_ = -1;
  add_default(final_default_uuid_key(tenant_.service_code()), kEveryZone, kEveryZone, tenant_.default_log(), kNone);
}

void RuleCompiler::compile_policy(const Path& here, const model::Policy& policy, std::uint32_t policy_index) {
  for (int i = 0; i < policy.rules_size(); ++i) {
    // A disabled rule keeps its number, and its id should it come back.
    if (policy.rules(i).enabled()) compile_rule(Path(here, "rules", i), policy, policy.rules(i), policy_index, i + 1);
  }
  add_default(policy_default_uuid_key(tenant_.service_code(), policy.name()), zone_mask(policy.from()), zone_mask(policy.to()),
              policy.default_log(), policy_index);
}

void RuleCompiler::compile_rule(const Path& here, const model::Policy& policy, const model::Rule& rule, std::uint32_t policy_index,
                                int number) {
  filters::snapshot::Rule out{};
  out.uuid = rule_uuid(ids_, tenant_, policy, rule);
  out.id = rule_number(here, out.uuid);
  out.source_zones = zone_mask(policy.from()) & zone_mask(rule.source_zones());
  out.destination_zones = zone_mask(policy.to()) & zone_mask(rule.destination_zones());
  out.user_groups = devices_.mask(rule);
  const Match source = addresses(Path(here, "source"), rule.source(), Negate{rule.source_not()});
  const Match destination = addresses(Path(here, "destination"), rule.destination(), Negate{rule.destination_not()});
  const std::optional<Match> service = services(Path(here, "service"), rule.service(), Negate{rule.service_not()});
  if (!service) return;
  const bool families = (source.v4 && destination.v4) || (source.v6 && destination.v6);
  const bool nothing = source.nothing() || destination.nothing() || service->nothing() || !families;
  if (nothing || out.source_zones == 0 || out.destination_zones == 0) {
    return reporter_.warning(here, "the rule \"" + rule.name() + "\" can match nothing and is left out");
  }
  set_standing(here, rule, out);
  out.policy = policy_index;
  out.name = builder_.string(rule.name());
  out.sources = source.run;
  out.destinations = destination.run;
  out.services = service->run;
  out.number = static_cast<std::uint16_t>(number);
  out.action = action_of(rule.action());
  out.log = log_of(rule);
  out.any_source = source.any;
  out.any_destination = destination.any;
  out.any_service = service->any;
  const model::OnChange on_change = rule.has_on_change() ? rule.on_change() : policy.on_change();
  out.keep_on_change = out.action == Action::kAllow && on_change == model::ON_CHANGE_KEEP;
  append(out, {.tenant = around_.place, .policy = policy_place_, .rule = number - 1});
  add_limits(rule);
}

/// The limits of the rule just added, when it has any.
void RuleCompiler::add_limits(const model::Rule& rule) {
  const bool any = (rule.half_open_max() | rule.sessions_max() | rule.sessions_per_second() | rule.source_sessions_max() |
                    rule.source_sessions_per_second()) != 0;
  if (!any) return;
  builder_.rule_limits.push_back({.rule = static_cast<std::uint32_t>(builder_.rules.size() - 1),
                                  .half_open_max = rule.half_open_max(),
                                  .sessions_max = rule.sessions_max(),
                                  .sessions_per_second = rule.sessions_per_second(),
                                  .source_sessions_max = rule.source_sessions_max(),
                                  .source_sessions_per_second = rule.source_sessions_per_second()});
}

void RuleCompiler::set_standing(const Path& here, const model::Rule& rule, filters::snapshot::Rule& out) {
  out.timed = rule.has_schedule() || rule.has_valid_until();
  switch (standing_of(tenant_, rule, around_.now)) {
    case Standing::kStands: out.standing = filters::snapshot::Standing::kStands; break;
    case Standing::kOutside: out.standing = filters::snapshot::Standing::kDormant; break;
    case Standing::kOutsideStrict: out.standing = filters::snapshot::Standing::kOff; break;
    case Standing::kExpired: out.standing = filters::snapshot::Standing::kExpired; break;
  }
  if (!rule.has_valid_until() || around_.now == 0) return;
  const std::int64_t left = *parse_civil(rule.valid_until()) - around_.now;
  out.ending = left > 0 && left <= kExpiryNoticeSeconds ? 1 : 0;
  if (left <= 0) {
    reporter_.warning(Path(here, "valid_until"), "the rule \"" + rule.name() + "\" has expired and judges nothing");
  } else if (left <= kExpiryNoticeSeconds) {
    const std::string days = std::to_string(left / 86400 + 1);
    reporter_.warning(Path(here, "valid_until"), "the rule \"" + rule.name() + "\" expires in less than " + days + " days");
  }
}

void RuleCompiler::compile_guards() {
  const auto index = static_cast<std::uint32_t>(builder_.policies.size());
  for (int i = 0; i < around_.guards.size(); ++i) {
    if (!guards_tenant(around_.guards[i], tenant_)) continue;
    if (builder_.policies.size() == index) builder_.policies.push_back({builder_.string("platform"), around_.index, 0});
    compile_guard(around_.guards[i], index, i);
  }
}

void RuleCompiler::compile_guard(const model::Guard& guard, std::uint32_t policy_index, int place) {
  const Path root;
  const Path here(root, "guards", place);
  filters::snapshot::Rule out{};
  out.uuid = ids_.uuid(guard_uuid_key(tenant_.service_code(), guard.name()));
  out.id = rule_number(here, out.uuid);
  out.source_zones = side_mask(guard.from());
  out.destination_zones = side_mask(guard.to());
  const auto ends = [&](const Names& entries) {
    std::vector<AddressSpan> spans;
    for (const auto& entry : entries) spans.push_back(*parse_address_entry(entry));
    return entries.empty() ? Match{.any = true} : emit_addresses(here, AddressSet(std::move(spans)));
  };
  const Match source = ends(guard.source());
  const Match destination = ends(guard.destination());
  model::ServiceObject object;
  object.set_name(guard.name());
  object.set_protocol(guard.protocol());
  *object.mutable_destination_ports() = guard.destination_ports();
  const Match service = emit_services(service_boxes(object), Negate::kYes);  // as there: entries of no service object
  const bool families = (source.v4 && destination.v4) || (source.v6 && destination.v6);
  if (out.source_zones == 0 || out.destination_zones == 0 || !families) return;  // this tenant has no such side
  out.policy = policy_index;
  out.name = builder_.string(guard.name());
  out.sources = source.run;
  out.destinations = destination.run;
  out.services = service.run;
  out.number = static_cast<std::uint16_t>(place + 1);
  out.action = guard.action() == model::Guard::DROP ? Action::kDrop : Action::kReject;
  out.log = log_of(guard.log());
  out.guard = 1;
  out.any_source = source.any;
  out.any_destination = destination.any;
  out.any_service = service.any;
  append(out, {.tenant = around_.place, .policy = -1, .rule = -1, .guard = place});
}

std::uint64_t RuleCompiler::side_mask(model::GuardSide side) const {
  if (side == model::GUARD_ANY) return kEveryZone;
  std::uint64_t out = 0;
  for (const auto& port : tenant_.ports()) {
    const bool outside = port.kind() == model::Port::SHARE;
    if (outside == (side == model::GUARD_OUTSIDE)) out |= zones_.at(port.zone());
  }
  return out;
}

void RuleCompiler::add_default(std::string_view uuid_key, std::uint64_t from, std::uint64_t to, model::DropLog log,
                               std::uint32_t policy_index) {
  filters::snapshot::Rule out{};
  out.uuid = ids_.uuid(std::string(uuid_key));
  out.id = rule_number(Path(), out.uuid);
  out.policy = policy_index;
  out.name = builder_.string(kDefaultDenyName);
  out.source_zones = from;
  out.destination_zones = to;
  out.action = Action::kDrop;
  out.log = log_of(log);
  out.is_default = 1;
  out.any_source = out.any_destination = out.any_service = 1;
  append(out, {.tenant = around_.place, .policy = policy_place_});
}

void RuleCompiler::append(const filters::snapshot::Rule& rule, RulePlace place) {
  builder_.rules.push_back(rule);
  places_.push_back(place);
}

std::uint32_t RuleCompiler::rule_number(const Path& here, const Uuid& uuid) {
  const std::uint32_t number = ids_.number(IdKind::kRule, rule_key(tenant_.service_code(), uuid));
  if (number == 0) reporter_.error(here, "every rule number was given out; this unit cannot take new rules");
  return number;
}

std::uint64_t RuleCompiler::zone_mask(const Names& zones) const {
  if (zones.empty()) return kEveryZone;
  std::uint64_t out = 0;
  for (const auto& zone : zones) out |= zones_.at(zone);
  return out;
}

const AddressSet& RuleCompiler::resolve_address(const std::string& name) {
  if (const auto known = address_sets_.find(name); known != address_sets_.end()) return known->second;
  if (const auto object = address_objects_.find(name); object != address_objects_.end()) {
    std::vector<AddressSpan> spans;
    for (const auto& entry : object->second->entries()) spans.push_back(*parse_address_entry(entry));
    return address_sets_.emplace(name, AddressSet(std::move(spans))).first->second;
  }
  const model::AddressGroup& group = *address_groups_.at(name);
  if (too_many_addresses_) return address_sets_[name];  // refused already
  Gatherer members(gathered_addresses_);
  Gatherer excluded(gathered_addresses_);
  for (const auto& member : group.members()) members.add(resolve_address(member).spans());
  for (const auto& member : group.exclude()) excluded.add(resolve_address(member).spans());
  too_many_addresses_ |= members.too_many() || excluded.too_many();
  return address_sets_.emplace(name, members.take().minus(excluded.take())).first->second;
}

RuleCompiler::Match RuleCompiler::addresses(const Path& here, const Names& names, Negate negate) {
  if (names.empty()) return Match{.any = true};
  const std::string key = list_key(names, negate == Negate::kYes);
  if (const auto known = address_matches_.find(key); known != address_matches_.end()) return known->second;
  Gatherer gathered(gathered_addresses_);
  for (const auto& name : names) gathered.add(resolve_address(name).spans());
  too_many_addresses_ |= gathered.too_many();
  AddressSet set = gathered.take();
  if (negate == Negate::kYes) set = AddressSet::everything().minus(set);
  return address_matches_.emplace(key, emit_addresses(here, set)).first->second;
}

RuleCompiler::Match RuleCompiler::emit_addresses(const Path& here, const AddressSet& set) {
  Match out;
  out.any = set.is_everything();
  out.v4 = set.has(Family::kIpv4);
  out.v6 = set.has(Family::kIpv6);
  if (too_many_addresses_ || set.spans().size() > kAddressRangesPerRuleMax) {
    reporter_.error(here, "these addresses come to more than " + std::to_string(kAddressRangesPerRuleMax) + " ranges");
    out = Match{.any = true};  // refused: no second finding about a rule that matches nothing
  } else if (builder_.address_ranges.size() + set.spans().size() > kAddressRangesMax) {
    reporter_.error(here, "the rules' addresses come to more than " + std::to_string(kAddressRangesMax) + " ranges in all");
    out = Match{.any = true};
  } else if (!out.any) {
    out.run = {static_cast<std::uint32_t>(builder_.address_ranges.size()), static_cast<std::uint32_t>(set.spans().size())};
    for (const AddressSpan& span : set.spans()) builder_.address_ranges.push_back({span.low, span.high, {}});
  }
  return out;
}

const std::vector<ServiceBox>& RuleCompiler::resolve_service(const std::string& name) {
  if (const auto known = service_sets_.find(name); known != service_sets_.end()) return known->second;
  std::vector<ServiceBox> out;
  if (const auto object = service_objects_.find(name); object != service_objects_.end()) {
    out = service_boxes(*object->second);
  } else {
    for (const auto& member : service_groups_.at(name)->members()) {
      const auto& more = resolve_service(member);
      out.insert(out.end(), more.begin(), more.end());
      if (out.size() > kServiceEntriesPerRuleMax) break;  // whoever uses it is refused
    }
  }
  return service_sets_.emplace(name, std::move(out)).first->second;
}

std::optional<RuleCompiler::Match> RuleCompiler::services(const Path& here, const Names& names, Negate negate) {
  if (names.empty()) return Match{.any = true};
  const std::string key = list_key(names, negate == Negate::kYes);
  if (const auto known = service_matches_.find(key); known != service_matches_.end()) return known->second;
  std::vector<ServiceBox> boxes;
  for (const auto& name : names) {
    const auto& more = resolve_service(name);
    boxes.insert(boxes.end(), more.begin(), more.end());
    if (boxes.size() > kServiceEntriesPerRuleMax) break;
  }
  if (negate == Negate::kYes && boxes.size() <= kServiceEntriesPerRuleMax) {
    std::string name = "not";
    for (const auto& part : names) name += (name.size() > 3 ? ", " : " ") + part;
    auto rest = complement(boxes, std::string(cut_characters(name, limits::kNameCharactersMax)));
    boxes = rest ? std::move(*rest) : std::vector<ServiceBox>(kServiceEntriesPerRuleMax + 1);
  }
  if (boxes.size() > kServiceEntriesPerRuleMax || builder_.services.size() + boxes.size() > kServicesMax) {
    reporter_.error(here, "the rule's services come to more than " + std::to_string(kServiceEntriesPerRuleMax) + " entries");
    return std::nullopt;
  }
  return service_matches_.emplace(key, emit_services(boxes, negate)).first->second;
}

RuleCompiler::Match RuleCompiler::emit_services(const std::vector<ServiceBox>& boxes, Negate negate) {
  Match out;
  out.any = std::any_of(boxes.begin(), boxes.end(), [](const ServiceBox& box) { return box.any_protocol; });
  if (out.any) return out;
  out.run = {static_cast<std::uint32_t>(builder_.services.size()), static_cast<std::uint32_t>(boxes.size())};
  for (const ServiceBox& box : boxes) {
    filters::snapshot::Service entry{};
    entry.name = builder_.string(box.name);
    if (negate == Negate::kNo) {
      const model::ServiceObject& object = *service_objects_.at(box.name);
      entry.object = service_number(tenant_, object);
      if ((object.timeout_seconds() | object.first_timeout_seconds()) != 0) {
        builder_.service_timeouts.push_back({.service = static_cast<std::uint32_t>(builder_.services.size()),
                                             .seconds = object.timeout_seconds(),
                                             .first = object.first_timeout_seconds()});
      }
    }
    entry.protocol = box.protocol;
    const bool icmp = box.protocol == 1 || box.protocol == 58;
    const PortRange any{0, 0xffff};
    const PortRange& source = icmp ? any : box.x;
    const PortRange& destination = icmp ? any : box.y;
    entry.source_low = source.low;
    entry.source_high = source.high;
    entry.destination_low = destination.low;
    entry.destination_high = destination.high;
    entry.icmp_type_low = icmp ? static_cast<std::uint8_t>(box.x.low) : std::uint8_t{0};
    entry.icmp_type_high = icmp ? static_cast<std::uint8_t>(box.x.high) : std::uint8_t{255};
    entry.icmp_code_low = icmp ? static_cast<std::uint8_t>(box.y.low) : std::uint8_t{0};
    entry.icmp_code_high = icmp ? static_cast<std::uint8_t>(box.y.high) : std::uint8_t{255};
    builder_.services.push_back(entry);
  }
  return out;
}

}  // namespace sekisho::control
