// SPDX-License-Identifier: Apache-2.0
#include "control/compile/service_set.h"

#include <algorithm>

namespace sekisho::control {
namespace {

constexpr bool is_icmp(unsigned protocol) { return protocol == 1 || protocol == 58; }
constexpr std::uint16_t edge(unsigned protocol) { return is_icmp(protocol) ? 0xff : 0xffff; }

/// Sorted and disjoint; nothing given means everything up to `most`.
std::vector<PortRange> merged(std::vector<PortRange> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<PortRange> out;
  for (const PortRange& range : ranges) {
    if (!out.empty() && range.low <= out.back().high + 1U) {
      out.back().high = std::max(out.back().high, range.high);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

std::vector<PortRange> read_ranges(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::vector<PortRange> out;
  for (const auto& text : texts) {
    if (const auto range = parse_port_range(text)) out.push_back(*range);
  }
  if (out.empty()) return {PortRange{0, 0xffff}};
  return merged(std::move(out));
}

/// 0..most without `ranges`, which are sorted and disjoint.
std::vector<PortRange> gaps(const std::vector<PortRange>& ranges, std::uint16_t most) {
  std::vector<PortRange> out;
  unsigned next = 0;
  for (const PortRange& range : ranges) {
    if (range.low > next) out.push_back({static_cast<std::uint16_t>(next), static_cast<std::uint16_t>(range.low - 1)});
    next = std::max(next, range.high + 1U);
  }
  if (next <= most) out.push_back({static_cast<std::uint16_t>(next), most});
  return out;
}

/// The rest of one protocol's rectangle, as columns: x is cut where any box begins or ends.
void add_rest(std::vector<ServiceBox>& out, const std::vector<const ServiceBox*>& boxes, unsigned protocol, const std::string& name) {
  const std::uint16_t most = edge(protocol);
  std::vector<unsigned> cuts{0, most + 1U};
  for (const ServiceBox* box : boxes) {
    cuts.push_back(box->x.low);
    cuts.push_back(box->x.high + 1U);
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  std::vector<PortRange> before;
  std::size_t column = out.size();
  for (std::size_t i = 0; i + 1 < cuts.size() && out.size() <= kServiceEntriesPerRuleMax; ++i) {
    std::vector<PortRange> covered;
    for (const ServiceBox* box : boxes) {
      if (box->x.low <= cuts[i] && cuts[i] <= box->x.high) covered.push_back(box->y);
    }
    const std::vector<PortRange> rest = gaps(merged(std::move(covered)), most);
    const PortRange x{static_cast<std::uint16_t>(cuts[i]), static_cast<std::uint16_t>(cuts[i + 1] - 1)};
    if (i != 0 && rest == before) {
      for (std::size_t k = column; k < out.size(); ++k) out[k].x.high = x.high;
      continue;
    }
    column = out.size();
    for (const PortRange& y : rest) out.push_back({name, static_cast<std::uint8_t>(protocol), false, x, y});
    before = rest;
  }
}

}  // namespace

std::vector<ServiceBox> service_boxes(const model::ServiceObject& service) {
  const Protocol protocol = parse_protocol(service.protocol()).value_or(Protocol{0, true});
  std::vector<ServiceBox> out;
  if (protocol.is_icmp()) {
    for (const auto& match : service.icmp()) {
      const auto type = static_cast<std::uint16_t>(match.type());
      const auto code = static_cast<std::uint16_t>(match.code());
      out.push_back({service.name(), protocol.number, false, {type, type}, match.has_code() ? PortRange{code, code} : PortRange{0, 255}});
    }
    if (out.empty()) out.push_back({service.name(), protocol.number, false, {0, 255}, {0, 255}});
    return out;
  }
  for (const PortRange& destination : read_ranges(service.destination_ports())) {
    for (const PortRange& source : read_ranges(service.source_ports())) {
      out.push_back({service.name(), protocol.number, protocol.any, source, destination});
    }
  }
  return out;
}

std::optional<std::vector<ServiceBox>> complement(const std::vector<ServiceBox>& boxes, const std::string& name) {
  std::vector<ServiceBox> out;
  if (std::any_of(boxes.begin(), boxes.end(), [](const ServiceBox& box) { return box.any_protocol; })) return out;
  for (unsigned protocol = 0; protocol < 256; ++protocol) {
    std::vector<const ServiceBox*> mine;
    for (const ServiceBox& box : boxes) {
      if (box.protocol == protocol) mine.push_back(&box);
    }
    add_rest(out, mine, protocol, name);
    if (out.size() > kServiceEntriesPerRuleMax) return std::nullopt;
  }
  return out;
}

}  // namespace sekisho::control
