// SPDX-License-Identifier: Apache-2.0
#include "tests/support/world.h"

#include <gtest/gtest.h>
#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include <array>
#include <string>

#include "dataplane/dpdk/ring_order.h"
#include "filters/packet/decode.h"
#include "tests/support/eal.h"

namespace sekisho::tests {
namespace {

using dataplane::Engine;
using filters::SnapshotBuilder;
namespace snapshot = filters::snapshot;

/// The ring ports of this test process: made once, used by one world after another.
struct Wires {
  std::array<rte_ring*, kNics> in, out;
  rte_mempool* pool;

  static Wires& get() {
    static Wires wires = make();
    return wires;
  }

 private:
  static Wires make() {
    ensure_eal();
    Wires wires{};
    wires.pool = rte_pktmbuf_pool_create("test-frames", 8191, 64, sizeof(filters::PacketMeta), RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    for (std::uint16_t nic = 0; nic < kNics; ++nic) {
      const std::string name = "wire" + std::to_string(nic);
      wires.in[nic] = rte_ring_create((name + "i").c_str(), 4096, SOCKET_ID_ANY, 0);
      wires.out[nic] = rte_ring_create((name + "o").c_str(), 4096, SOCKET_ID_ANY, 0);
      const int port = rte_eth_from_rings(name.c_str(), &wires.in[nic], 1, &wires.out[nic], 1, 0);
      if (port != nic) std::abort();
      rte_ether_addr address{{0x02, 0, 0, 0, 0xee, static_cast<std::uint8_t>(nic)}};
      rte_eth_dev_default_mac_addr_set(nic, &address);
    }
    return wires;
  }
};

void drain(rte_ring* ring) {
  for (void* packet = nullptr; rte_ring_dequeue(ring, &packet) == 0;) rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
}

Prefix prefix(const char* text) { return parse_prefix(text).value(); }

snapshot::Range ranges_of(SnapshotBuilder& builder, const std::vector<const char*>& texts) {
  const auto first = static_cast<std::uint32_t>(builder.address_ranges.size());
  for (const char* text : texts) builder.address_ranges.push_back({prefix(text).first(), prefix(text).last(), {}});
  return {first, static_cast<std::uint32_t>(texts.size())};
}

void add_rule(SnapshotBuilder& builder, const RuleText& text, std::uint32_t policy, std::uint16_t number, bool is_default) {
  snapshot::Rule rule{};
  rule.id = text.id;
  rule.policy = policy;
  rule.uuid[0] = static_cast<std::uint8_t>(text.id);
  rule.name = builder.string("rule " + std::to_string(text.id));
  rule.source_zones = text.source_zones;
  rule.destination_zones = text.destination_zones;
  rule.sources = ranges_of(builder, text.sources);
  rule.destinations = ranges_of(builder, text.destinations);
  rule.any_source = text.sources.empty();
  rule.any_destination = text.destinations.empty();
  rule.services = {static_cast<std::uint32_t>(builder.services.size()), 0};
  rule.any_service = text.protocol < 0;
  if (text.protocol >= 0) {
    snapshot::Service service{};
    service.name = builder.string("service");
    service.object = text.service;
    service.source_high = 65535;
    service.destination_low = text.port_low;
    service.destination_high = text.port_high;
    service.protocol = static_cast<std::uint8_t>(text.protocol);
    service.icmp_type_high = service.icmp_code_high = 255;
    builder.services.push_back(service);
    rule.services.count = 1;
  }
  rule.number = number;
  rule.action = text.action;
  rule.keep_on_change = text.keep_on_change ? 1 : 0;
  rule.log = text.log;
  rule.is_default = is_default;
  builder.rules.push_back(rule);
}

struct TenantText {
  std::uint32_t id;
  std::uint16_t server_vlan, client_vlan, client_inner;
  const char* public4;
  const char* public6;
  const char* block4;
  const char* block6;
};
constexpr TenantText kTexts[] = {
    {kTenantA, 0, 0, 0, "203.0.113.17/32", "2001:db8:a::17/128", "203.0.113.16/28", "2001:db8:a::/48"},
    {kTenantB, 200, 300, 7, "203.0.113.33/32", "2001:db8:b::33/128", "203.0.113.32/28", "2001:db8:b::/48"}};
constexpr std::uint32_t kUplinkIndex = 3;

void add_port(SnapshotBuilder& builder, snapshot::Port port, std::vector<const char*> addresses) {
  port.addresses = {static_cast<std::uint32_t>(builder.port_addresses.size()), static_cast<std::uint32_t>(addresses.size())};
  for (const char* text : addresses) builder.port_addresses.push_back(prefix(text));
  port.mtu = 1500;
  port.name = builder.string("port" + std::to_string(port.id));
  builder.ports.push_back(port);
}

void add_binding(SnapshotBuilder& builder, std::uint32_t port, const Mac& who, std::vector<const char*> prefixes) {
  snapshot::Binding binding{};
  binding.id = builder.ports[port].id;
  binding.port = port;
  binding.name = builder.string("binding" + std::to_string(binding.id));
  binding.pairs = {static_cast<std::uint32_t>(builder.binding_pairs.size()), static_cast<std::uint32_t>(prefixes.size())};
  binding.routed = {binding.pairs.first + binding.pairs.count, 0};
  for (const char* text : prefixes) builder.binding_pairs.push_back({who, prefix(text)});
  binding.meters = {{{30, 60}, {100, 200}, {10, 20}, {50, 100}, {200, 400}, {2000, 4000}, {10, 20}}};
  binding.lla_policy = snapshot::LlaPolicy::kPin;
  binding.lla_pins = 2;
  binding.active = 1;
  builder.ports[port].binding = static_cast<std::uint32_t>(builder.bindings.size());
  builder.bindings.push_back(binding);
}

void add_tenant_ports(SnapshotBuilder& builder, const TenantText& text, std::uint32_t index) {
  const std::uint32_t base = text.id == kTenantA ? 0 : 10;
  snapshot::Port port{};
  port.tenant = index;
  port.uplink = port.binding = snapshot::kNone;
  port.id = base + kServerPort;
  port.nic = kServerNic;
  port.outer_vlan = text.server_vlan;
  add_port(builder, port, {"10.0.0.1/28", "fd00:0:0:1::1/64"});
  const auto server = static_cast<std::uint32_t>(builder.ports.size() - 1);
  add_binding(builder, server, kServerMac, {"10.0.0.2/32", "fd00:0:0:1::2/128", text.public4, text.public6});
  port.id = base + kClientPort;
  port.nic = kClientNic;
  port.zone = 1;
  port.outer_vlan = text.client_vlan;
  port.inner_vlan = text.client_inner;
  port.outer_is_svlan = text.client_inner != 0;
  add_port(builder, port, {"10.0.0.33/28", "fd00:0:0:2::1/64"});
  add_binding(builder, server + 1, kClientMac, {"10.0.0.34/32", "fd00:0:0:2::2/128"});
  port = {};
  port.tenant = index;
  port.binding = snapshot::kNone;
  port.id = base + kShare;
  port.kind = snapshot::PortKind::kShare;
  port.nic = kUplinkNic;
  port.uplink = kUplinkIndex;
  port.zone = 2;
  add_port(builder, port, {});
}

void add_tenant(SnapshotBuilder& builder, const TenantText& text, std::uint32_t index, std::uint32_t sessions_max,
                const std::vector<RuleText>& rules, std::uint32_t default_rule) {
  snapshot::Tenant tenant{};
  tenant.id = text.id;
  tenant.sessions_max = sessions_max;
  tenant.service_code = builder.string("tst0000000" + std::to_string(text.id));
  tenant.name = builder.string("tenant" + std::to_string(text.id));
  tenant.zones = {static_cast<std::uint32_t>(builder.zones.size()), 3};
  for (const char* zone : {"servers", "office", "net"}) builder.zones.push_back({builder.string(zone)});
  tenant.policies = {static_cast<std::uint32_t>(builder.policies.size()), 1};
  builder.policies.push_back({builder.string("inside"), index, 0});
  tenant.rules.first = static_cast<std::uint32_t>(builder.rules.size());
  std::uint16_t number = 0;
  for (const RuleText& rule : rules) add_rule(builder, rule, tenant.policies.first, ++number, false);
  add_rule(builder, {.id = default_rule, .action = snapshot::Action::kDrop, .log = snapshot::kLogDropFolded}, snapshot::kNone, 0, true);
  tenant.rules.count = static_cast<std::uint32_t>(builder.rules.size()) - tenant.rules.first;

  const auto server = static_cast<std::uint32_t>(text.id == kTenantA ? 0 : 4);
  const std::uint32_t share = server + 2;
  tenant.routes = {static_cast<std::uint32_t>(builder.routes.size()), 6};
  for (const char* connected : {"10.0.0.0/28", "fd00:0:0:1::/64"}) builder.routes.push_back({prefix(connected), 0, 0, server, {}, {}});
  for (const char* connected : {"10.0.0.32/28", "fd00:0:0:2::/64"}) builder.routes.push_back({prefix(connected), 0, 0, server + 1, {}, {}});
  builder.routes.push_back({prefix("0.0.0.0/0"), 1, 0, share, address("192.0.2.2"), {}});
  builder.routes.push_back({prefix("::/0"), 1, 0, share, address("2001:db8:0:1::2"), {}});
  for (const char* block : {text.block4, text.block6}) builder.owned_prefixes.push_back({prefix(block), {}, kUplinkIndex, share});
  builder.tenants.push_back(tenant);
}

}  // namespace

World::World(WorldOptions options) : options_(options), tsc_(0) {
  Wires& wires = Wires::get();
  for (std::uint16_t nic = 0; nic < kNics; ++nic) drain(wires.in[nic]), drain(wires.out[nic]);
  Engine::Options engine;
  engine.workers = options.workers;
  engine.shard = {.sessions = options.sessions, .log_records = options.log_records, .tenants = 8, .ports = 64, .rules = 4096, .bindings = 64, .tunnels = options.tunnels};
  engine.mbufs = 4095;
  if (options.service) engine.service_device = "net_ring_wire3";
  auto made = Engine::create(engine);
  if (!made) ADD_FAILURE() << "engine: " << static_cast<int>(made.error().code) << " " << made.error().detail;
  engine_ = std::move(made).value();
  for (std::uint32_t number = 0; number < engine_->shards(); ++number) {
    const LogRingWriter& ring = engine_->shard(number).log.ring();
    readers_.push_back(LogRingReader::open(ring.duplicate_records_fd().value(), ring.duplicate_cursor_fd().value()).value());
  }
  tsc_ = rte_rdtsc();
}

World::~World() {
  Wires& wires = Wires::get();
  for (std::uint16_t nic = 0; nic < kNics; ++nic) drain(wires.in[nic]), drain(wires.out[nic]);
}

std::vector<std::uint8_t> World::snapshot(std::uint32_t generation, const std::vector<RuleText>& rules, const Shape& shape) const {
  SnapshotBuilder builder;
  for (std::uint16_t nic = 0; nic < kServiceNic; ++nic) {
    builder.nics.push_back({builder.string("nic" + std::to_string(nic)), builder.string(engine_->nics()[nic].device()), 1500, 0});
  }
  add_tenant_ports(builder, kTexts[0], 0);
  filters::snapshot::Port uplink{};
  uplink.id = kUplink;
  uplink.kind = filters::snapshot::PortKind::kUplink;
  uplink.tenant = uplink.uplink = uplink.binding = filters::snapshot::kNone;
  uplink.nic = kUplinkNic;
  add_port(builder, uplink, {"192.0.2.1/24", "2001:db8:0:1::1/64"});
  if (shape.tenant_b) add_tenant_ports(builder, kTexts[1], 1);
  add_tenant(builder, kTexts[0], 0, options_.sessions_max, rules, kDefaultRuleA);
  if (shape.tenant_b) add_tenant(builder, kTexts[1], 1, options_.sessions_max, shape.rules_b, kDefaultRuleB);
  if (shape.edit) shape.edit(builder);
  return builder.finish(generation);
}

void World::apply(std::uint32_t generation, const std::vector<RuleText>& rules, const Shape& shape) {
  Engine::Applied applied;
  dataplane::LoadError error;
  ASSERT_TRUE(engine_->apply(snapshot(generation, rules, shape), applied, error)) << error.reason << " at " << error.offset;
  ASSERT_EQ(applied.generation, generation);
}

namespace {

/// What a card says of a frame's checksums. Of one that is wrong otherwise it says nothing.
std::uint64_t summed(const Frame& frame) {
  filters::PacketMeta meta{};
  const auto reason = filters::decode(frame, static_cast<std::uint32_t>(frame.size()), {.ip = false, .l4 = false}, meta);
  if (reason == filters::DropReason::kIpv4Checksum) return RTE_MBUF_F_RX_IP_CKSUM_BAD;
  if (reason == filters::DropReason::kL4Checksum) return RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_BAD;
  return reason == filters::DropReason::kNone ? RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0;
}

}  // namespace

void World::queue(std::uint16_t nic, const Frame& frame, std::uint16_t headroom) {
  Wires& wires = Wires::get();
  rte_mbuf* packet = rte_pktmbuf_alloc(wires.pool);
  ASSERT_NE(packet, nullptr);
  packet->data_off = headroom;
  char* room = rte_pktmbuf_append(packet, static_cast<std::uint16_t>(frame.size()));
  ASSERT_NE(room, nullptr);
  std::copy(frame.begin(), frame.end(), reinterpret_cast<std::uint8_t*>(room));
  if (options_.cards_sum) packet->ol_flags |= summed(frame);
  packet->port = nic;  // what a driver does on receive; the ring driver leaves it to the sender
  dataplane::before_given(wires.in[nic]);
  ASSERT_EQ(rte_ring_enqueue(wires.in[nic], packet), 0);
}

bool World::offer(std::uint16_t nic, const Frame& frame) {
  if (rte_ring_full(Wires::get().in[nic]) != 0) return false;
  queue(nic, frame);
  return true;
}

void World::elapse(std::chrono::microseconds time) {
  tsc_ += rte_get_tsc_hz() * static_cast<std::uint64_t>(time.count()) / 1'000'000;
}

void World::turn(std::uint32_t shard) { engine_->turn(shard, tsc_); }

void World::settle() {
  for (bool moved = true; moved;) {
    moved = false;
    for (std::uint32_t number = 0; number < engine_->shards(); ++number) moved |= engine_->turn(number, tsc_) > 0;
  }
}

void World::inject(std::uint16_t nic, const Frame& frame) {
  queue(nic, frame);
  settle();
}

void World::pass(std::chrono::milliseconds time) {
  // In steps of a tick, as a polling worker would see it.
  constexpr std::chrono::milliseconds kStep(250);
  for (auto left = time; left.count() > 0; left -= kStep) {
    tsc_ += rte_get_tsc_hz() * static_cast<std::uint64_t>(std::min(left, kStep).count()) / 1000;
    settle();
  }
}

void World::advance(std::chrono::microseconds time) {
  tsc_ += rte_get_tsc_hz() * static_cast<std::uint64_t>(time.count()) / 1'000'000;
}

std::vector<Frame> World::collect(std::uint16_t nic) {
  std::vector<Frame> out;
  for (void* object = nullptr; rte_ring_dequeue(Wires::get().out[nic], &object) == 0;) {
    dataplane::after_taken(Wires::get().out[nic]);
    auto* packet = static_cast<rte_mbuf*>(object);
    const auto* bytes = rte_pktmbuf_mtod(packet, const std::uint8_t*);
    out.emplace_back(bytes, bytes + packet->data_len);
    rte_pktmbuf_free(packet);
  }
  return out;
}

Frame World::through(std::uint16_t in, const Frame& frame, std::uint16_t out) {
  inject(in, frame);
  const std::vector<Frame> frames = collect(out);
  EXPECT_EQ(frames.size(), 1U);
  return frames.empty() ? Frame{} : frames.front();
}

std::vector<World::Record> World::records() {
  std::vector<Record> out;
  std::array<LogRecord, 64> raw;
  for (LogRingReader& reader : readers_) {
    for (;;) {
      const auto got = reader.pop(raw);
      if (!got || *got == 0) break;
      for (std::size_t i = 0; i < *got; ++i) {
        Record record{};
        const std::uint8_t* body = raw[i].bytes.data() + sizeof(LogEnvelope);
        std::memcpy(&record.envelope, raw[i].bytes.data(), sizeof(LogEnvelope));
        if (record.envelope.kind == LogKind::kComm) std::memcpy(&record.comm, body, sizeof(CommBody));
        if (record.envelope.kind == LogKind::kSec) std::memcpy(&record.sec, body, sizeof(SecBody));
        if (record.envelope.kind == LogKind::kLoss) std::memcpy(&record.loss, body, sizeof(LossBody));
        out.push_back(record);
      }
    }
  }
  return out;
}

std::uint64_t World::drops(filters::DropReason reason) const {
  std::uint64_t out = 0;
  for (std::uint32_t number = 0; number < engine_->shards(); ++number) {
    const auto& tenants = engine_->shard(number).tenants;
    for (std::size_t slot = 0; slot < tenants.size(); ++slot) out += tenants[slot].drops[static_cast<std::size_t>(reason)].read();
  }
  return out;
}

std::uint64_t World::sessions() const {
  std::uint64_t out = 0;
  for (std::uint32_t number = 0; number < engine_->shards(); ++number) out += engine_->shard(number).sessions.size();
  return out;
}

bool World::conserved() const {
  std::uint64_t came = 0;
  std::uint64_t went = 0;
  for (std::uint32_t number = 0; number < engine_->shards(); ++number) {
    const dataplane::PacketCounters& packets = engine_->shard(number).packets;
    if (packets.violations.read() != 0) return false;
    came += packets.received.read() + packets.generated.read();
    went += packets.sent.read() + packets.punted.read() + packets.dropped.read() + packets.held.read();
  }
  return came == went;
}

}  // namespace sekisho::tests
