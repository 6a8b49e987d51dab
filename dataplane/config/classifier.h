// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/net/endian.h"
#include "base/result.h"
#include "filters/policy/compiled_rules.h"
#include "filters/policy/linear_matcher.h"
#include "filters/policy/snapshot_view.h"

namespace sekisho::dataplane {

/// What the classifier reads about one packet: the packet's own bytes, in network order, plus where it came from and
/// goes to.
struct ClassifyKey {
  std::uint8_t family = 0;       ///< sekisho::Family as a number: 4 or 6
  std::uint8_t protocol = 0;     ///< IANA
  std::uint8_t source_zone = 0;  ///< index inside the tenant's zones, 0..63
  std::uint8_t destination_zone = 0;
  Be16 source_port = Be16::from_host(0);       ///< ICMP and ICMPv6: the type, as a 16-bit number
  Be16 destination_port = Be16::from_host(0);  ///< ICMP and ICMPv6: the code
  std::array<std::uint8_t, 16> source{};       ///< network order; IPv4 uses the first four bytes, the rest is ignored
  std::array<std::uint8_t, 16> destination{};
  std::uint32_t tenant_index = 0;  ///< host order: index in kTenants of the classifier's own snapshot
  std::uint64_t user_groups = 0;   ///< host order: of the remote user who sends; 0: of nobody known

  static ClassifyKey from(const filters::PolicyQuery& query);
};
static_assert(sizeof(ClassifyKey) == 56);

/// A packet that the compiled policy and the rules themselves judge differently.
struct ClassifierMismatch {
  filters::PolicyQuery packet;
  std::uint32_t expected;  ///< index in kRules: what the linear matcher says
  std::uint32_t answered;  ///< what the classifier says
};

/// What a build cost and how much of the previous one it could keep.
struct ClassifierBuildStats {
  std::uint32_t tenants_built = 0;
  std::uint32_t tenants_reused = 0;
  std::uint64_t probes = 0;        ///< packets judged by both the classifier and the rules
  std::uint64_t microseconds = 0;  ///< wall clock
  std::optional<ClassifierMismatch> mismatch;  ///< why the build was refused with kConflict
};

/// What decides matches in a tenant's rules, as a keyed hash: equal for equal content, and for nothing else anybody can make.
struct TenantContent {
  std::uint64_t low, high;
  bool operator==(const TenantContent&) const = default;
};

/// First-match policy of all tenants: answers exactly as filters::match_linear.
///
/// Each tenant's rules are compiled by themselves and named by their place inside the tenant, so that those of a tenant
/// whose content did not change are shared with the next generation although rule indices moved.
/// Thread: build and destruction on the control thread; classify on any number of workers at once.
class Classifier {
 public:
  /// Compiles a view's rules, tenants side by side on two threads; `previous` (may be null) lends what did not change.
  /// The view's bytes are not kept. What was compiled is then asked about packets on the limits of the rules, and random
  /// ones, and must answer as the rules do: no classifier that does not is ever returned.
  /// Errors, where kDataplane: kLimit (a tenant's rules are beyond the bounds of CompiledRules; detail: the rule index that
  /// overflowed), kConflict (it answers wrongly; detail: the rule index it should have answered; stats.mismatch has the
  /// rest).
  static Result<std::unique_ptr<const Classifier>> build(const filters::SnapshotView& view, const Classifier* previous,
                                                         ClassifierBuildStats& stats);
  ~Classifier();
  Classifier(const Classifier&) = delete;
  Classifier& operator=(const Classifier&) = delete;

  /// rules[i] = index in kRules of the first rule of its tenant that takes keys[i]; the tenant's final default deny
  /// when none does. No allocation, no locks, no failure. rules.size() >= keys.size(); tenant_index below the tenant
  /// count; family 4 or 6 (anything else gets the default deny).
  void classify(std::span<ClassifyKey> keys, std::span<std::uint32_t> rules) const noexcept;

 private:
  struct Compiled;
  /// Where a tenant of this generation finds its rules.
  struct Place {
    std::uint32_t first_rule;    ///< index in kRules
    std::uint32_t default_rule;  ///< index in kRules of the final default deny
    const filters::CompiledRules* rules;
    std::uint32_t id;            ///< TenantId value
    /// Shared between generations: two Classifiers, old and new, live side by side until the workers have let go of the
    /// old one.
    std::shared_ptr<const Compiled> compiled;
  };

  friend class ClassifierFault;

  Classifier() = default;
  /// What was compiled for this tenant from the same content, or null.
  [[nodiscard]] std::shared_ptr<const Compiled> lend(std::uint32_t tenant, const TenantContent& content) const;
  /// Compiles `tenants` of `view` into their places; `contents` by tenant.
  Result<void> compile(const filters::SnapshotView& view, std::span<const std::uint32_t> tenants,
                       std::span<const TenantContent> contents);
  /// Checks the tenants of `view` that this build compiled.
  Result<void> check(const filters::SnapshotView& view, std::span<const std::uint32_t> tenants, ClassifierBuildStats& stats) const;
  [[nodiscard]] std::uint32_t first_match(const ClassifyKey& key) const noexcept;

  std::vector<Place> places_;
  /// Null but in tests that want to see a wrong compilation refused (ClassifierFault): rules are compiled from this view,
  /// of the same shape as the real one.
  inline static const filters::SnapshotView* miscompiled_ = nullptr;
};

}  // namespace sekisho::dataplane
