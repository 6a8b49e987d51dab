// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/proto/api.pb.h"

/// Who may do what (specification 3.10). One table; docs/permissions.md is made from it.
namespace sekisho::control {

enum class Role : std::uint8_t { kOwner, kAdmin, kRule, kUser, kLog, kRead, kSelf, kPlatform, kSupport, kAuditor, kSecurity };
inline constexpr std::size_t kRoles = 11;

/// "owner", "p-ops".
std::string_view to_text(Role role);
std::optional<Role> role_named(std::string_view text);
/// The provider's roles have no tenant of their own.
[[nodiscard]] constexpr bool is_provider(Role role) {
  return role >= Role::kPlatform;
}

enum class Grant : std::uint8_t {
  kNo,
  kConsent,  ///< while a consent of the tenant lasts
  kChange,   ///< the same, and the consent says that things may be changed
  kYes,
};
[[nodiscard]] Grant grant_of(Role role, api::Action action);
/// "rules_edit".
std::string to_text(api::Action action);

/// The matrix as a page of documentation.
std::string permissions_page();

}  // namespace sekisho::control
