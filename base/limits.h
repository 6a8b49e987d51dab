// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstddef>
#include <cstdint>

/// Every bound of the firmware with its unit (last word of the name) and its reason.
namespace sekisho::limits {

// Identity. TenantId is 23 bits wide in a session key (bit 23 is the address family).
inline constexpr std::uint32_t kTenantIdMax = (1U << 20) - 1;
inline constexpr std::uint32_t kPortIdMax = (1U << 20) - 1;
inline constexpr std::uint32_t kRuleIdMax = (1U << 24) - 1;
inline constexpr std::uint32_t kBindingIdMax = (1U << 24) - 1;
inline constexpr std::uint32_t kUserIdMax = (1U << 24) - 1;
static_assert(kTenantIdMax < (1U << 23));

// Configuration (specification 3.2, 3.17).
inline constexpr std::size_t kTenantsMax = 1000;
inline constexpr std::size_t kPortsMax = 20'000;
inline constexpr std::size_t kNicsMax = 32;            // RTE_MAX_ETHPORTS
inline constexpr std::size_t kZonesPerTenantMax = 64;  // a zone set is one 64-bit word
inline constexpr std::size_t kRulesPerTenantMax = 10'000;
inline constexpr std::size_t kRulesMax = 200'000;
inline constexpr std::size_t kNatRulesPerTenantMax = 500;  // looked through one by one, once a flow
inline constexpr std::size_t kBindingsMax = 100'000;
inline constexpr std::size_t kBindingsPerPortMax = 10'000;
inline constexpr std::size_t kPairsPerBindingMax = 64;
inline constexpr std::size_t kMacsPerBindingMax = 8;
inline constexpr std::size_t kNameCharactersMax = 64;
inline constexpr std::size_t kNameBytesMax = 256;  // 64 characters of UTF-8
inline constexpr std::size_t kAddressEntriesPerObjectMax = 1000;
inline constexpr std::size_t kGroupDepthMax = 4;
inline constexpr std::size_t kRuleReferencesMax = 64;
inline constexpr std::size_t kServiceDestinationsMax = 64;
inline constexpr std::size_t kServiceSourcesMax = 16;
inline constexpr std::size_t kRoutesPerTenantMax = 10'000;
inline constexpr std::size_t kRevisionsKeptMax = 100;
inline constexpr std::uint32_t kRevisionMax = (1U << 24) - 1;  // eight bits are the data plane's
inline constexpr std::size_t kSchedulesPerTenantMax = 256;
inline constexpr std::size_t kSlotsPerScheduleMax = 64;
inline constexpr std::size_t kGuardsMax = 256;

// Remote users (specification 3.17).
inline constexpr std::size_t kUsersMax = 500'000;
inline constexpr std::size_t kUsersPerTenantMax = 100'000;
inline constexpr std::size_t kUserGroupsPerTenantMax = 64;  // a set of groups is one 64-bit word
inline constexpr std::size_t kGatewaysPerTenantMax = 16;
inline constexpr std::size_t kGatewayAddressesPerTenantMax = 64;
inline constexpr std::size_t kRadiusBackendsPerTenantMax = 8;
inline constexpr std::size_t kRadiusServersPerBackendMax = 4;
inline constexpr std::size_t kRadiusServersPerTenantMax = kRadiusBackendsPerTenantMax * kRadiusServersPerBackendMax;
inline constexpr std::size_t kRadiusGroupsPerBackendMax = 64;
inline constexpr std::size_t kPoolsPerTenantMax = 64;
inline constexpr std::size_t kRangesPerPoolMax = 64;

// Documents and snapshots. A snapshot of 200,000 rules is about 100 MB.
inline constexpr std::size_t kDocumentBytesMax = 64U << 20;
inline constexpr std::size_t kDocumentDepthMax = 32;
inline constexpr std::size_t kSnapshotBytesMax = std::size_t{1} << 30;

// Local messages: one datagram each. 128 KiB passes with default buffers, so half of it is safe.
inline constexpr std::size_t kIpcMessageBytesMax = 64U << 10;
inline constexpr std::size_t kIpcFdsMax = 48;  // a hello of sixteen workers carries 34

// Log ring: 2^16 records of 192 bytes = 12 MiB a shard: about 0.2 s at the unit maximum of 200,000 records/s, twice over.
inline constexpr std::size_t kLogRingRecordsMax = 1U << 16;

// Packets.
inline constexpr std::size_t kShardsMax = 16;
inline constexpr std::uint32_t kFrameBytesMax = 9600;

}  // namespace sekisho::limits
