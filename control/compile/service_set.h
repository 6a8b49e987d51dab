// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/proto/model.pb.h"
#include "control/config/text.h"

namespace sekisho::control {

/// One entry of a service: a rectangle. x is the source port or the ICMP type, y the destination port or the ICMP code;
/// for other protocols both are 0..65535. Inclusive, host order.
struct ServiceBox {
  std::string name;  ///< the service object it came from
  std::uint8_t protocol = 0;
  bool any_protocol = false;
  PortRange x{0, 0xffff};
  PortRange y{0, 0xffff};
};

/// Entries of one rule past this are refused: the classifier multiplies them with the rule's address ranges.
inline constexpr std::size_t kServiceEntriesPerRuleMax = 4096;

/// The entries of one service object. `service` is valid.
std::vector<ServiceBox> service_boxes(const model::ServiceObject& service);

/// What none of `boxes` takes: for each of the 256 protocols the rest of its rectangle. Nothing (no boxes) when one of
/// them takes any protocol. nullopt: more than kServiceEntriesPerRuleMax entries.
std::optional<std::vector<ServiceBox>> complement(const std::vector<ServiceBox>& boxes, const std::string& name);

}  // namespace sekisho::control
