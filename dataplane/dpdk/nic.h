// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mempool.h>

#include <cstdint>
#include <string>

#include "base/net/address.h"
#include "base/result.h"

namespace sekisho::dataplane {

/// One DPDK port: configured once with the queues it can have, started when the first snapshot names it, stopped at the
/// end. Thread: control.
class Nic {
 public:
  /// Receive queues are many only where the NIC spreads flows itself (RSS, symmetric key); transmit queues one a worker
  /// where it has so many.
  static Result<Nic> configure(std::uint16_t number, std::uint16_t workers, rte_mempool* pool);
  Nic(Nic&& other) noexcept;
  Nic& operator=(Nic&& other) = delete;
  ~Nic();

  [[nodiscard]] std::uint16_t number() const { return number_; }
  [[nodiscard]] const std::string& device() const { return device_; }
  [[nodiscard]] const Mac& mac() const { return mac_; }
  [[nodiscard]] std::uint16_t rx_queues() const { return rx_queues_; }
  [[nodiscard]] std::uint16_t tx_queues() const { return tx_queues_; }
  [[nodiscard]] bool started() const { return started_; }
  Result<void> start();

 private:
  Nic() = default;
  std::uint16_t number_ = 0;
  std::uint16_t rx_queues_ = 1;
  std::uint16_t tx_queues_ = 1;
  bool started_ = false;
  std::string device_;
  Mac mac_;
};

}  // namespace sekisho::dataplane
