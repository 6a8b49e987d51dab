// SPDX-License-Identifier: Apache-2.0
// Goal: SCTP, GRE and ESP cross as flows of their own, named by their rules, and their malformed neighbours do not.
#include <vector>

#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;

std::vector<std::uint8_t> sctp(unsigned from, unsigned to, std::uint32_t tag, std::uint8_t chunk, std::uint32_t initiate = 0) {
  std::vector<std::uint8_t> out;
  append16(out, from);
  append16(out, to);
  append32(out, tag);
  append32(out, 0xdeadbeef);  // the ends check it
  const bool initial = chunk == 1 || chunk == 2;
  out.push_back(chunk);
  out.push_back(0);
  append16(out, initial ? 20 : 4);
  if (initial) append32(out, initiate), append32(out, 65535), append32(out, 0x000a000a), append32(out, 1);
  return out;
}

class PathProtocols : public PathTest {
 protected:
  struct Ends {
    const char* client;
    const char* server;
  };
  static constexpr Ends kEnds[] = {{"10.0.0.34", "10.0.0.2"}, {"fd00:0:0:2::2", "fd00:0:0:1::2"}};

  bool forward(const Ends& ends, std::uint8_t protocol, std::vector<std::uint8_t> bytes) {
    world_.inject(kClientNic, client(ends.client, ends.server).protocol(protocol, std::move(bytes)).build());
    return world_.collect(kServerNic).size() == 1;
  }
  bool back(const Ends& ends, std::uint8_t protocol, std::vector<std::uint8_t> bytes) {
    world_.inject(kServerNic, server(ends.server, ends.client).protocol(protocol, std::move(bytes)).build());
    return world_.collect(kClientNic).size() == 1;
  }
};
SEKISHO_PATH_WORKERS(PathProtocols);

TEST_P(PathProtocols, SctpAssociationIsAFlowOfItsPortsAndTags) {
  world_.apply(1, {{.id = 11, .protocol = 132, .port_low = 3868, .port_high = 3868}});
  for (const Ends& ends : kEnds) {
    EXPECT_FALSE(forward(ends, 132, sctp(5000, 3869, 0, 1, 7)));  // another port
    EXPECT_FALSE(forward(ends, 132, sctp(5000, 3868, 9, 0)));     // data of no association
    EXPECT_TRUE(forward(ends, 132, sctp(5000, 3868, 0, 1, 7)));
    EXPECT_FALSE(back(ends, 132, sctp(3868, 5000, 8, 2, 9)));     // a stranger's tag
    EXPECT_TRUE(back(ends, 132, sctp(3868, 5000, 7, 2, 9)));
    EXPECT_TRUE(forward(ends, 132, sctp(5000, 3868, 9, 10)));
    EXPECT_TRUE(back(ends, 132, sctp(3868, 5000, 7, 11)));
    EXPECT_TRUE(forward(ends, 132, sctp(5000, 3868, 9, 0)));
    EXPECT_FALSE(forward(ends, 132, sctp(5000, 3868, 0, 1, 8)));  // INIT within
    EXPECT_TRUE(back(ends, 132, sctp(3868, 5000, 7, 6)));         // ABORT
    EXPECT_FALSE(forward(ends, 132, sctp(5000, 3868, 9, 255)));
    EXPECT_TRUE(forward(ends, 132, sctp(5000, 3868, 0, 1, 8)));   // begins anew
    EXPECT_TRUE(back(ends, 132, sctp(3868, 5000, 8, 2, 10)));
  }
  EXPECT_EQ(drops(DropReason::kDefaultDeny), 2U);
  EXPECT_EQ(drops(DropReason::kNotFirst), 2U);
  EXPECT_EQ(drops(DropReason::kSctpTag), 2U);
  EXPECT_EQ(drops(DropReason::kSctpState), 4U);
}

TEST_P(PathProtocols, GreAndEspAreFlowsOfTwoHosts) {
  world_.apply(1, {{.id = 11, .protocol = 47}, {.id = 12, .protocol = 50}});
  const std::vector<std::uint8_t> plain{0, 0, 8, 0, 1, 2, 3, 4}, keyed{0x20, 0, 8, 0, 0, 0, 0, 9, 1, 2};
  const std::vector<std::uint8_t> pptp{0x30, 0x01, 0x88, 0x0b, 0, 0, 0, 9, 0, 0, 0, 1};
  for (const Ends& ends : kEnds) {
    const std::uint64_t before = world_.sessions();
    for (const auto& good : {plain, keyed, pptp}) {
      EXPECT_TRUE(forward(ends, 47, good));
      EXPECT_TRUE(back(ends, 47, good));
    }
    EXPECT_TRUE(forward(ends, 50, {0, 0, 1, 0, 0, 0, 0, 1, 9, 9, 9, 9}));
    EXPECT_TRUE(back(ends, 50, {0, 0, 2, 0, 0, 0, 0, 1, 9, 9, 9, 9}));
    EXPECT_EQ(world_.sessions(), before + 2);
    EXPECT_FALSE(forward(ends, 51, std::vector<std::uint8_t>(24, 1)));
  }
  // The second host has not been spoken to: its answer opens nothing where rules say who may begin.
  world_.apply(2, {{.id = 11, .sources = {"10.0.0.34/32"}, .protocol = 47}});
  EXPECT_FALSE(back({"10.0.0.34", "10.0.0.2"}, 50, {0, 0, 2, 0, 0, 0, 0, 1, 9, 9, 9, 9}));
}

TEST_P(PathProtocols, HeadersThatCannotBeAreNamed) {
  world_.apply(1, {{.id = 11}});
  for (const Ends& ends : kEnds) {
    const std::vector<std::vector<std::uint8_t>> headers{
        {0x40, 0, 8, 0, 0, 0, 0, 0}, {0, 2, 8, 0}, {0x20, 1, 8, 0, 0, 0, 0, 9}, {0, 1, 0x88, 0x0b}, {0x04, 0, 8, 0}};
    for (const std::vector<std::uint8_t>& gre : headers) {
      EXPECT_FALSE(forward(ends, 47, gre));
    }
    EXPECT_FALSE(forward(ends, 47, {0x20, 0, 8, 0, 0, 0}));
    EXPECT_FALSE(forward(ends, 47, {0, 0, 8}));
    EXPECT_FALSE(forward(ends, 50, {0, 0, 0, 0, 0, 0, 0, 1}));
    EXPECT_FALSE(forward(ends, 50, {0, 0, 1, 0, 0, 0, 0}));
    EXPECT_FALSE(forward(ends, 132, {0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0}));
    EXPECT_FALSE(forward(ends, 51, std::vector<std::uint8_t>(24, 1)));
  }
  EXPECT_EQ(drops(DropReason::kGreHeader), 10U);
  EXPECT_EQ(drops(DropReason::kL4Truncated), 8U);
  EXPECT_EQ(drops(DropReason::kEspHeader), 2U);
  EXPECT_EQ(drops(DropReason::kAuthenticationHeader), 1U);  // over IPv6 it is an extension header
  EXPECT_EQ(drops(DropReason::kIpv6ExtensionHeader), 1U);
  EXPECT_EQ(world_.sessions(), 0U);
}

}  // namespace
}  // namespace sekisho::tests
