// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "control/config/text.h"

namespace sekisho::control {

/// A set of addresses as sorted, disjoint, non-adjacent spans; IPv4 before IPv6. A value; one thread.
class AddressSet {
 public:
  AddressSet() = default;
  /// The union of spans in any order.
  explicit AddressSet(std::vector<AddressSpan> spans);
  static AddressSet everything();

  [[nodiscard]] const std::vector<AddressSpan>& spans() const { return spans_; }
  [[nodiscard]] bool empty() const { return spans_.empty(); }
  [[nodiscard]] bool is_everything() const { return spans_ == everything().spans_; }
  [[nodiscard]] bool has(Family family) const;
  /// What is here and not in `other`, family by family.
  [[nodiscard]] AddressSet minus(const AddressSet& other) const;
  bool operator==(const AddressSet&) const = default;

 private:
  std::vector<AddressSpan> spans_;
};

}  // namespace sekisho::control
