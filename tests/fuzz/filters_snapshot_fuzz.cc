// SPDX-License-Identifier: Apache-2.0
// Any bytes as a snapshot: parse() refuses or every reader may index freely. The input is sealed first, so that the
// digest does not stand between the fuzzer and the structural checks.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "filters/policy/linear_matcher.h"
#include "filters/policy/snapshot_builder.h"
#include "filters/policy/snapshot_view.h"

namespace {

using sekisho::filters::PolicyQuery;
using sekisho::filters::slice;
using sekisho::filters::SnapshotView;

/// Follows every reference a reader may follow; the sum keeps the reads alive.
std::size_t read_everything(const SnapshotView& view) {
  std::size_t sum = 0;
  for (const auto& port : view.ports()) {
    sum += view.string(port.name).size() + slice(view.port_addresses(), port.addresses).size();
    if (port.uplink != sekisho::filters::snapshot::kNone) sum += view.ports()[port.uplink].nic;
    if (port.binding != sekisho::filters::snapshot::kNone) sum += view.bindings()[port.binding].id;
  }
  for (const auto& binding : view.bindings()) {
    for (const auto& pair : slice(view.binding_pairs(), binding.pairs)) sum += pair.prefix.length;
    for (const auto& address : slice(view.link_locals(), binding.link_locals)) sum += address.bytes[15];
  }
  for (const auto& owned : view.owned_prefixes()) sum += view.ports()[owned.share].tenant;
  for (const auto& timeouts : view.service_timeouts()) sum += view.services()[timeouts.service].protocol;
  return sum;
}

void ask(const SnapshotView& view) {
  const auto tenants = view.tenants();
  for (std::uint32_t i = 0; i < tenants.size(); ++i) {
    const auto rules = slice(view.rules(), tenants[i].rules);
    for (const auto& rule : rules.first(std::min<std::size_t>(rules.size(), 32))) {
      PolicyQuery query{.tenant_index = i,
                        .source_zone = 0,
                        .destination_zone = 0,
                        .source = {},
                        .destination = {},
                        .protocol = 6,
                        .source_port = 1,
                        .destination_port = 80,
                        .icmp_type = 0,
                        .icmp_code = 0};
      query.source = query.destination = sekisho::Address::from_v4(0x0a000001);
      for (const auto& range : slice(view.address_ranges(), rule.sources).first(rule.sources.count == 0 ? 0 : 1)) {
        query.source = query.destination = range.low;
      }
      const auto match = match_linear(view, query);
      if (match.rule < tenants[i].rules.first || match.rule - tenants[i].rules.first >= tenants[i].rules.count)
        __builtin_trap();
    }
  }
}

std::size_t accepted = 0;

}  // namespace

extern "C" std::size_t sekisho_fuzz_accepted();
extern "C" std::size_t sekisho_fuzz_accepted() { return accepted; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Parsing wants 8-byte alignment, which the input does not promise and a vector has.
  std::vector<std::uint8_t> block(data, data + size);
  if (size >= sizeof(sekisho::filters::snapshot::Header)) sekisho::filters::seal_snapshot(block);
  const auto view = SnapshotView::parse(block);
  if (!view) return 0;
  ++accepted;
  volatile std::size_t sink = read_everything(*view);
  static_cast<void>(sink);
  ask(*view);
  return 0;
}
