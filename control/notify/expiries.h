// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/proto/model.pb.h"
#include "control/notify/notifier.h"

/// What ends some day, and whom that is told ahead of time. Pure.
namespace sekisho::control {

/// What comes to an end.
enum class Ending : std::uint8_t { kCertificate, kRevocationList, kRule, kDevice, kPptp, kLegacy, kAccount, kKey, kContract, kData };

struct Expiry {
  std::string tenant;  ///< service code; empty: the unit's
  Ending what{};
  std::string name;
  std::int64_t at = 0;  ///< Unix seconds
};

/// Of a configuration: certificates wherever a gateway, a collector, a target of messages or the mail server has some (of
/// several in one text the first that ends), revocation lists, rules, devices, PPTP and the profile legacy.
std::vector<Expiry> expiries_of(const model::Configuration& model);

/// What is to be told at `until` of what was told up to `after`: 30, 7 and 1 days ahead and at the end; of a revocation
/// list, which lives for days, the last two. One happening for what ends alike, not one for each; the name of none of
/// them stands outside `object`.
std::vector<Happening> due(const std::vector<Expiry>& expiries, std::int64_t after, std::int64_t until);

}  // namespace sekisho::control
