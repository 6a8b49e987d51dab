// SPDX-License-Identifier: Apache-2.0
// Goal: whatever comes in, in whatever order, nothing is lost or doubled and nothing crosses to the other tenant. Method:
// random and broken frames on random NICs, random commits and time steps, fixed seeds; every frame carries the mark of the
// tenant whose port it entered.
#include <random>

#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

constexpr unsigned kFrames = 34'000;
constexpr std::uint8_t kMarkA = 0xa7, kMarkB = 0xb9;
constexpr std::size_t kMarkBytes = 12;

class PathRandom : public PathTest {
 protected:
  using Random = std::mt19937;
  static unsigned pick(Random& random, unsigned below) { return static_cast<unsigned>(random() % below); }

  struct Arrival {
    std::uint16_t nic;
    Frame frame;
  };
  Arrival make(Random& random) const {
    const std::uint32_t tenant = pick(random, 2) == 0 ? kTenantA : kTenantB;
    const bool v6 = pick(random, 2) != 0;
    static constexpr const char* kHosts4[] = {"10.0.0.34", "10.0.0.2", "203.0.113.17", "203.0.113.33", "198.51.100.9", "192.0.2.2", "10.0.0.1", "10.0.0.9"};
    static constexpr const char* kHosts6[] = {"fd00:0:0:2::2", "fd00:0:0:1::2", "2001:db8:a::17", "2001:db8:b::33", "2001:db8:ffff::9", "2001:db8:0:1::2", "fd00:0:0:1::1", "fd00:0:0:1::9"};
    const auto& hosts = v6 ? kHosts6 : kHosts4;
    const unsigned place = pick(random, 3);
    const unsigned wild = pick(random, 8);
    const char* from = wild == 0 ? hosts[pick(random, 8)] : hosts[place == 0 ? 1 : place == 1 ? 0 : 4];
    const char* to = wild == 1 ? hosts[pick(random, 8)] : hosts[place == 0 ? (pick(random, 2) != 0 ? 0 : 4) : place == 1 ? 1 : tenant == kTenantA ? 2 : 3];
    FrameBuilder builder = place == 0 ? server(from, to, tenant) : place == 1 ? client(from, to, tenant) : outside(from, to);
    const unsigned near = 1000 + pick(random, 40), far = 53 + pick(random, 3);
    const unsigned source = place == 0 ? far : near, destination = place == 0 ? near : far;
    switch (pick(random, 4)) {
      case 0: builder.udp(source, destination); break;
      case 1: builder.echo(static_cast<std::uint16_t>(near)); break;
      case 2: builder.icmp(v6 ? 1 : 3, 3, 0).payload(Frame(20, 0x45)); break;
      default: {
        static constexpr std::uint8_t kFlags[] = {0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14};
        builder.tcp(source, destination, {.flags = kFlags[pick(random, 7)], .sequence = pick(random, 3), .acknowledgement = pick(random, 3)});
      }
    }
    const std::uint8_t mark = tenant == kTenantA ? kMarkA : kMarkB;
    if (place != 2 || wild != 1) builder.payload(Frame(kMarkBytes, mark));
    Frame frame = builder.build();
    const unsigned damage = pick(random, 6);
    if (damage == 0) {  // behind the link header, before the mark
      const std::size_t link = place == 2 ? 14 : 22;
      frame[link + pick(random, static_cast<unsigned>(frame.size() - kMarkBytes - link))] = static_cast<std::uint8_t>(random());
    } else if (damage == 1 && pick(random, 4) == 0) {
      frame.resize(pick(random, static_cast<unsigned>(frame.size())) + 1);
    }
    const std::uint16_t nic = place == 0 ? kServerNic : place == 1 ? kClientNic : kUplinkNic;
    return {nic, frame};
  }
  static bool marked(const Frame& frame, std::uint8_t mark) {
    const Frame wanted(kMarkBytes, mark);
    return std::search(frame.begin(), frame.end(), wanted.begin(), wanted.end()) != frame.end();
  }
  void check_output() {
    for (const std::uint16_t nic : {kServerNic, kClientNic}) {
      for (const Frame& frame : world_.collect(nic)) {
        const filters::PacketMeta meta = read(frame);
        const bool tenant_a = meta.outer_vlan == 0;
        ASSERT_FALSE(marked(frame, tenant_a ? kMarkB : kMarkA)) << "NIC " << nic << " VLAN " << meta.outer_vlan;
        sent_[tenant_a ? 0 : 1] += marked(frame, tenant_a ? kMarkA : kMarkB) ? 1U : 0U;
      }
    }
    world_.collect(kUplinkNic);
  }
  unsigned sent_[2] = {0, 0};
};
INSTANTIATE_TEST_SUITE_P(Workers, PathRandom, testing::Values(Machine{1}, Machine{2}, Machine{3}, Machine{2, true}),
                         [](const auto& test) { return name_of(test.param); });

TEST_P(PathRandom, NothingIsLostAndNothingCrosses) {
  Random random(20'260'000 + GetParam());
  const std::vector<std::vector<RuleText>> policies{
      {{.id = 11}}, {}, {{.id = 12, .protocol = 17}}, {{.id = 13, .action = filters::snapshot::Action::kReject}}, {{.id = 14, .protocol = 6}, {.id = 11}}};
  const std::vector<Shape> shapes{{}, {}, {.tenant_b = false}, {.edit = unbind_client},
                                  {.edit = [](filters::SnapshotBuilder& builder) { builder.bindings[0].active = 0; }}};
  std::uint32_t generation = 1;
  world_.apply(generation, policies[0]);
  for (unsigned i = 0; i < kFrames; ++i) {
    const Arrival arrival = make(random);
    world_.queue(arrival.nic, arrival.frame);
    const unsigned next = pick(random, 64);
    if (next < 16) world_.turn(pick(random, GetParam()));
    if (next == 16) world_.settle(), check_output();
    if (next == 17 && pick(random, 4) == 0) world_.pass(std::chrono::milliseconds(250 * (1 + pick(random, 40)))), check_output();
    if (next == 18 && pick(random, 4) == 0) world_.apply(++generation, policies[pick(random, 5)], shapes[pick(random, 5)]);
    if (next == 19 && pick(random, 2) == 0) world_.queue(kUplinkNic, (generation & 1U) != 0 ? router_answer("192.0.2.2", "192.0.2.1") : router_answer("2001:db8:0:1::2", "2001:db8:0:1::1"));
    if (next == 20) world_.records();
    if (HasFatalFailure()) return;
  }
  world_.settle();
  check_output();
  EXPECT_TRUE(world_.conserved());
  EXPECT_GT(sent_[0], kFrames / 100);  // it was not all refused
  EXPECT_GT(sent_[1], kFrames / 100);
  world_.pass(std::chrono::hours(2));
  EXPECT_EQ(world_.sessions(), 0U);
  for (std::uint32_t number = 0; number < world_.engine().shards(); ++number) {
    const auto& tenants = world_.engine().shard(number).tenants;
    for (std::size_t slot = 0; slot < tenants.size(); ++slot) EXPECT_EQ(tenants[slot].sessions.read(), 0U);
  }
}

}  // namespace
}  // namespace sekisho::tests
