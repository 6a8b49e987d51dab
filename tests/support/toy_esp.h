// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "vpn/ports.h"

namespace sekisho::test {

/// A sink for SAs that really opens and seals ESP (tunnel mode, no ESN, no replay window), with OpenSSL: it proves that keys,
/// SPIs and selectors are the peer's. A measure, not a data plane. Thread-safe.
class ToyEsp : public vpn::SaSink {
 public:
  struct Sa {
    vpn::Path path;
    std::uint16_t encryption = 0, integrity = 0;
    bool udp_encapsulation = false;
    bool esn = false;
    bool transport = false;
    std::vector<std::uint8_t> encryption_key, integrity_key;
    std::vector<vpn::Selector> local, remote;
    std::uint32_t sequence = 0;
    std::uint64_t bytes = 0, packets = 0;
  };

  std::optional<std::uint32_t> allocate_spi(const vpn::Path& path) override;
  bool install(const vpn::SaParameters& sa) override;
  bool move(const vpn::SaName& sa, const vpn::Path& path, bool udp_encapsulation) override;
  std::optional<vpn::SaUse> query(const vpn::SaName& sa) override;
  void remove(const vpn::SaName& sa) override;

  struct Opened {
    vpn::Path path;
    std::uint32_t spi = 0;
    std::vector<std::uint8_t> inner;  ///< an IP packet that the SA's selectors allow, or in transport mode a UDP datagram
    bool transport = false;
  };
  /// Nothing: no such SA, wrong tag, or an inner packet outside the selectors.
  std::optional<Opened> open(std::uint32_t tenant, ByteSpan esp);
  struct Sealed {
    vpn::Path path;
    std::vector<std::uint8_t> esp;
  };
  /// By the newest outbound SA of the tenant whose selectors hold the packet's destination.
  std::optional<Sealed> seal(std::uint32_t tenant, ByteSpan inner);
  /// A UDP datagram back by the newest outbound SA in transport mode that leads to `remote`.
  std::optional<Sealed> seal_transport(std::uint32_t tenant, const vpn::Endpoint& remote, ByteSpan datagram);
  /// Live SAs of both directions, as "in SPI TENANT ..." lines.
  [[nodiscard]] std::vector<std::string> lines() const;
  /// The next installations are refused.
  void refuse(bool on) { refuse_ = on; }

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::uint32_t, bool>, Sa> live_;
  std::vector<std::uint32_t> outbound_;  ///< oldest first
  bool refuse_ = false;
};

}  // namespace sekisho::test
