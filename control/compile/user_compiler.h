// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/net/address.h"
#include "base/proto/model.pb.h"
#include "control/compile/ids.h"
#include "control/config/finding.h"
#include "filters/policy/snapshot_builder.h"

namespace sekisho::control {

/// Bit per group, in the order of the tenant's list.
std::uint64_t group_mask(const model::Tenant& tenant, const google::protobuf::RepeatedPtrField<std::string>& groups);

/// The prefixes of a pool, largest first inside each range.
std::vector<Prefix> pool_prefixes(const model::Pool& pool);

/// Appends the users of a tenant (index in the snapshot) and, as users of their own, its RADIUS backends' groups and whoever comes with a
/// device that rules ask for, sorted by id.
/// What cannot be numbered is reported.
void compile_users(filters::SnapshotBuilder& builder, Ids& ids, Reporter& reporter, const model::Tenant& tenant, std::uint32_t index);

/// Appends the gateways of a tenant; `port_at`: a port's index in the snapshot by its name. sort_gateways() comes last.
void compile_gateways(filters::SnapshotBuilder& builder, Ids& ids, Reporter& reporter, const model::Tenant& tenant, std::uint32_t index,
                      const std::function<std::uint32_t(const std::string&)>& port_at);
/// Appends the RADIUS servers of a tenant in the section's order.
void compile_radius(filters::SnapshotBuilder& builder, const model::Tenant& tenant, std::uint32_t index);
/// Puts the gateways of all tenants into the section's order.
void sort_gateways(filters::SnapshotBuilder& builder);

}  // namespace sekisho::control
