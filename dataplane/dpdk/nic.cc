// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/nic.h"

#include <rte_ethdev.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace sekisho::dataplane {
namespace {

constexpr std::uint16_t kDescriptors = 1024;
constexpr auto kAnySocket = static_cast<unsigned>(SOCKET_ID_ANY);

/// Toeplitz key that repeats every 16 bits: both directions of a flow hash alike.
std::array<std::uint8_t, 52> symmetric_key() {
  std::array<std::uint8_t, 52> key{};
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = i % 2 == 0 ? 0x6d : 0x5a;
  return key;
}

Error nic_error(int status) {
  return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(status < 0 ? -status : status)};
}

rte_eth_conf configuration(const rte_eth_dev_info& info, std::uint16_t rx_queues, std::array<std::uint8_t, 52>& key) {
  rte_eth_conf out{};
  if (rx_queues > 1) {
    out.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    out.rx_adv_conf.rss_conf.rss_key = key.data();
    out.rx_adv_conf.rss_conf.rss_key_len = std::min(info.hash_key_size, std::uint8_t{52});
    out.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
  }
  out.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_CHECKSUM;
  return out;
}

}  // namespace

Result<Nic> Nic::configure(std::uint16_t number, std::uint16_t workers, rte_mempool* pool) {
  rte_eth_dev_info info{};
  int status = rte_eth_dev_info_get(number, &info);
  if (status != 0) return nic_error(status);
  const bool spreads = info.flow_type_rss_offloads != 0;
  // The tap driver wants as many receive as transmit queues, and spreads in the kernel by a hash of its own.
  const bool paired = std::strcmp(info.driver_name, "net_tap") == 0;

  Nic nic;
  nic.number_ = number;
  nic.rx_queues_ = spreads && !paired ? std::min(workers, info.max_rx_queues) : std::uint16_t{1};
  nic.tx_queues_ = paired ? nic.rx_queues_ : std::max<std::uint16_t>(1, std::min(workers, info.max_tx_queues));
  std::array<std::uint8_t, 52> key = symmetric_key();
  const rte_eth_conf conf = configuration(info, nic.rx_queues_, key);
  status = rte_eth_dev_configure(number, nic.rx_queues_, nic.tx_queues_, &conf);
  if (status != 0) return nic_error(status);
  std::uint16_t rx_descriptors = kDescriptors;
  std::uint16_t tx_descriptors = kDescriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(number, &rx_descriptors, &tx_descriptors);
  for (std::uint16_t queue = 0; queue < nic.rx_queues_ && status == 0; ++queue) {
    status = rte_eth_rx_queue_setup(number, queue, rx_descriptors, kAnySocket, nullptr, pool);
  }
  for (std::uint16_t queue = 0; queue < nic.tx_queues_ && status == 0; ++queue) {
    status = rte_eth_tx_queue_setup(number, queue, tx_descriptors, kAnySocket, nullptr);
  }
  if (status != 0) return nic_error(status);
  char name[RTE_ETH_NAME_MAX_LEN] = {};
  rte_ether_addr address{};
  rte_eth_dev_get_name_by_port(number, name);
  rte_eth_macaddr_get(number, &address);
  nic.device_ = name;
  std::copy_n(address.addr_bytes, 6, nic.mac_.bytes.begin());
  return nic;
}

Nic::Nic(Nic&& other) noexcept
    : number_(other.number_),
      rx_queues_(other.rx_queues_),
      tx_queues_(other.tx_queues_),
      started_(std::exchange(other.started_, false)),
      device_(std::move(other.device_)),
      mac_(other.mac_) {}

Nic::~Nic() {
  if (started_) rte_eth_dev_stop(number_);
}

Result<void> Nic::start() {
  if (started_) return {};
  const int status = rte_eth_dev_start(number_);
  if (status != 0) return nic_error(status);
  started_ = true;
  rte_eth_allmulticast_enable(number_);  // ND; drivers without a filter have no such call and need none
  return {};
}

}  // namespace sekisho::dataplane
