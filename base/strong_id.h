// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace sekisho {

/// A number that names one kind of object. TenantId == RuleId does not compile. No default: an id is always meant.
template <typename Tag>
class StrongId {
 public:
  explicit constexpr StrongId(std::uint32_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }
  auto operator<=>(const StrongId&) const = default;

 private:
  std::uint32_t value_;
};

/// Given by controld, stable over commits and never reused: a session key contains it.
using TenantId = StrongId<struct TenantTag>;
using PortId = StrongId<struct PortTag>;
using RuleId = StrongId<struct RuleTag>;
using BindingId = StrongId<struct BindingTag>;

}  // namespace sekisho

template <typename Tag>
struct std::hash<sekisho::StrongId<Tag>> {
  std::size_t operator()(sekisho::StrongId<Tag> id) const noexcept { return id.value(); }
};
