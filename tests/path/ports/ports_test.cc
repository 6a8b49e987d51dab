// SPDX-License-Identifier: Apache-2.0
// Goal: the same path on every kind of port a laptop has: null, pcap, tap, af_packet (ring: the other path tests).
// Method: DPDK devices plugged in by name, one frame that a rule allows and its neighbour that none does. Kernel
// interfaces live in a network namespace of this process alone.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/os/fd.h"
#include "dataplane/engine.h"
#include "tests/bench/bench_network.h"
#include "tests/support/eal.h"
#include "tests/support/frames.h"

namespace sekisho::tests {
namespace {

using dataplane::Engine;
using filters::DropReason;

const Mac kInside = Mac::from_number(0x020000000001);
const Mac kOutside = Mac::from_number(0x020000000002);

/// One frame from the inside host to the outside one; `port` 80 is allowed, 79 is nobody's.
Frame frame_to(const Mac& gateway, std::uint16_t port) {
  return FrameBuilder().ethernet(kInside, gateway).ipv4("10.16.0.1", "172.20.0.1").udp(20000, port).payload(30).build();
}

/// A DPDK device for the length of a test.
class Device {
 public:
  Device(std::string name, const std::string& arguments) : name_(std::move(name)) {
    plugged_ = rte_eal_hotplug_add("vdev", name_.c_str(), arguments.c_str()) == 0;
  }
  ~Device() {
    if (plugged_) rte_eal_hotplug_remove("vdev", name_.c_str());
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  [[nodiscard]] bool plugged() const { return plugged_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
  bool plugged_;
};

/// An engine between two devices, with the network of the benchmarks.
std::unique_ptr<Engine> engine_between(const Device& inside, const Device& outside) {
  Engine::Options options;
  options.shard = {.sessions = 1024, .log_records = 256, .tenants = 8, .ports = 16, .rules = 1024, .bindings = 16};
  options.mbufs = 4095;
  auto engine = Engine::create(options);
  if (!engine) return nullptr;
  bench::NetworkPlan plan;
  plan.rules = 10;
  plan.devices = {inside.name(), outside.name()};
  Engine::Applied applied;
  dataplane::LoadError error;
  EXPECT_TRUE((*engine)->apply(bench::make_snapshot(plan, 2), applied, error)) << error.reason;
  return std::move(*engine);
}

Mac gateway_of(const Engine& engine, const Device& device) {
  for (const dataplane::Nic& nic : engine.nics()) {
    if (nic.device() == device.name()) return nic.mac();
  }
  return {};
}

std::uint64_t drops(const Engine& engine, DropReason reason) {
  std::uint64_t out = 0;
  const auto& tenants = engine.shard(0).tenants;
  for (std::size_t slot = 0; slot < tenants.size(); ++slot) {
    out += tenants[slot].drops[static_cast<std::size_t>(reason)].read();
  }
  return out;
}

class Ports : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "needs root: a network namespace of its own";
    ensure_eal();
  }
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string file(const char* name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_ = [] {
    std::string pattern = std::filesystem::temp_directory_path() / "sekisho-ports-XXXXXX";
    return std::filesystem::path(mkdtemp(pattern.data()));
  }();
};

// ---- pcap ---------------------------------------------------------------------------------------------------------

void append_little(std::string& out, std::uint32_t value) {
  for (int i = 0; i < 4; ++i, value >>= 8) out.push_back(static_cast<char>(value));
}

void write_pcap(const std::string& path, const std::vector<Frame>& frames) {
  std::string out;
  for (const std::uint32_t word : {0xa1b2c3d4U, 0x00040002U, 0U, 0U, 65535U, 1U}) append_little(out, word);
  for (const Frame& frame : frames) {
    const auto size = static_cast<std::uint32_t>(frame.size());
    for (const std::uint32_t word : {0U, 0U, size, size}) append_little(out, word);
    out.append(frame.begin(), frame.end());
  }
  std::ofstream(path, std::ios::binary) << out;
}

std::size_t bytes_behind_header(const std::string& path) { return std::filesystem::file_size(path) - 24; }

TEST_F(Ports, PcapFileGoesInAndOnlyTheAllowedFrameComesOut) {
  const Mac first_pcap_mac = mac("02:70:63:61:70:00");  // the driver's own for its first device
  write_pcap(file("in"), {frame_to(first_pcap_mac, 80), frame_to(first_pcap_mac, 79)});
  write_pcap(file("none"), {});
  {
    const Device inside("net_pcap0", "rx_pcap=" + file("in") + ",tx_pcap=" + file("back"));
    const Device outside("net_pcap1", "rx_pcap=" + file("none") + ",tx_pcap=" + file("out"));
    ASSERT_TRUE(inside.plugged() && outside.plugged());
    const auto engine = engine_between(inside, outside);
    ASSERT_NE(engine, nullptr);
    ASSERT_EQ(gateway_of(*engine, inside), first_pcap_mac);

    for (int i = 0; i < 8; ++i) engine->turn(0, rte_rdtsc());

    EXPECT_EQ(engine->shard(0).packets.received.read(), 2U);
    EXPECT_EQ(engine->shard(0).packets.sent.read(), 1U);
    EXPECT_EQ(drops(*engine, DropReason::kDefaultDeny), 1U);
  }
  EXPECT_EQ(bytes_behind_header(file("out")), 16 + frame_to(first_pcap_mac, 80).size());
}

// ---- null ---------------------------------------------------------------------------------------------------------

TEST_F(Ports, NullPortsEmptyFramesAreAllNamed) {
  const Device inside("net_null0", "size=64,copy=1");
  const Device outside("net_null1", "size=64,no-rx=1");
  ASSERT_TRUE(inside.plugged() && outside.plugged());
  const auto engine = engine_between(inside, outside);
  ASSERT_NE(engine, nullptr);

  for (int i = 0; i < 10; ++i) engine->turn(0, rte_rdtsc());

  const auto& packets = engine->shard(0).packets;
  EXPECT_GT(packets.received.read(), 0U);
  EXPECT_EQ(packets.received.read(), packets.dropped.read());
  // Source MAC zero; a driver without end fills a turn's every burst, and then the meter ends the rest.
  EXPECT_GT(drops(*engine, DropReason::kAeFrame), 0U);
  EXPECT_EQ(drops(*engine, DropReason::kAeFrame) + drops(*engine, DropReason::kAeStorm), packets.dropped.read());
}

// ---- kernel interfaces -----------------------------------------------------------------------------------------------

/// A packet socket on a kernel interface, which it brings up.
class Tapped {
 public:
  explicit Tapped(const std::string& interface) : socket_(::socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL))) {
    ifreq request{};
    interface.copy(request.ifr_name, IFNAMSIZ - 1);
    EXPECT_EQ(ioctl(socket_.get(), SIOCGIFFLAGS, &request), 0) << interface;
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    EXPECT_EQ(ioctl(socket_.get(), SIOCSIFFLAGS, &request), 0) << interface;
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  void send(const Frame& frame) const {
    EXPECT_EQ(::send(socket_.get(), frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
  }
  /// The UDP frames to `port` that arrive before nothing more does; `work` is called between looks.
  template <typename Work>
  int count_udp(std::uint16_t port, int wanted, Work work) const {
    int seen = 0;
    for (int idle = 0; idle < 200 && seen < wanted; ++idle) {
      work();
      pollfd waiting{socket_.get(), POLLIN, 0};
      while (poll(&waiting, 1, 5) > 0) {
        Frame frame(2048);
        const ssize_t got = recv(socket_.get(), frame.data(), frame.size(), 0);
        if (got < 38) continue;
        const bool udp = load_be<std::uint16_t>(frame, 12) == 0x0800 && frame[23] == 17;
        if (udp && load_be<std::uint16_t>(frame, 36) == port && frame[22] == 63) ++seen;
      }
    }
    return seen;
  }

 private:
  Fd socket_;
};

/// Sends the refused frame, then the allowed one, and waits for the latter: order tells that the former is not coming.
void expect_only_the_allowed(Engine& engine, const Mac& gateway, const Tapped& in, const Tapped& out) {
  in.send(frame_to(gateway, 79));
  in.send(frame_to(gateway, 80));
  const auto work = [&] { engine.turn(0, rte_rdtsc()); };
  EXPECT_EQ(out.count_udp(80, 1, work), 1);
  EXPECT_EQ(drops(engine, DropReason::kDefaultDeny), 1U);
  EXPECT_EQ(engine.shard(0).packets.violations.read(), 0U);
}

TEST_F(Ports, TapCarriesTheAllowedFrameOnly) {
  const Device inside("net_tap0", "iface=skin");
  const Device outside("net_tap1", "iface=skout");
  if (!inside.plugged() || !outside.plugged()) GTEST_SKIP() << "no /dev/net/tun here";
  const auto engine = engine_between(inside, outside);
  ASSERT_NE(engine, nullptr);
  const Tapped in("skin");
  const Tapped out("skout");
  expect_only_the_allowed(*engine, gateway_of(*engine, inside), in, out);
}

TEST_F(Ports, AfPacketCarriesTheAllowedFrameOnly) {
  ASSERT_EQ(std::system("ip link add skin0 type veth peer name skin1 && ip link add skout0 type veth peer name skout1 && "
                        "for i in skin0 skin1 skout0 skout1; do ip link set $i up; done"),
            0);
  {
    const Device inside("net_af_packet0", "iface=skin1,blocksz=4096,framesz=2048,framecnt=512");
    const Device outside("net_af_packet1", "iface=skout1,blocksz=4096,framesz=2048,framecnt=512");
    ASSERT_TRUE(inside.plugged() && outside.plugged());
    const auto engine = engine_between(inside, outside);
    ASSERT_NE(engine, nullptr);
    const Tapped in("skin0");
    const Tapped out("skout0");
    expect_only_the_allowed(*engine, gateway_of(*engine, inside), in, out);
  }
  ASSERT_EQ(std::system("ip link del skin0 && ip link del skout0"), 0);
}

}  // namespace
}  // namespace sekisho::tests
