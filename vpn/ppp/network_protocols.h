// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vpn/ppp/control_protocol.h"

namespace sekisho::vpn::ppp {

/// IPCP (RFC 1332, name servers by RFC 1877): the peer gets one IPv4 address, and the choice to take it or go without.
class Ipcp : public ControlProtocol {
 public:
  Ipcp(Limits limits, Layer& layer) : ControlProtocol(Protocol::kIpcp, limits, layer) {}
  /// Before open().
  void give(const Address& peer, const Address& own, std::span<const Address> dns);

 protected:
  void begin() override;
  void write_request(Bytes& out) override;
  Judgement judge(const Option& option, Bytes& nak) override;
  void demand_missing(ByteSpan options, Bytes& nak) override;
  bool take_nak(const Option& option) override;
  bool take_reject(const Option& option) override;

 private:
  std::uint32_t peer_ = 0, own_ = 0;
  std::array<std::uint32_t, 2> dns_{};
  bool tell_own_ = true;
};

/// IPV6CP (RFC 5072): the peer's interface identifier is ours to say, so that the address it makes of it is the one it was leased.
class Ipv6cp : public ControlProtocol {
 public:
  Ipv6cp(Limits limits, Layer& layer) : ControlProtocol(Protocol::kIpv6cp, limits, layer) {}
  /// Before open(); neither is zero, and they differ.
  void give(std::uint64_t peer, std::uint64_t own);

 protected:
  void begin() override {}
  void write_request(Bytes& out) override;
  Judgement judge(const Option& option, Bytes& nak) override;
  void demand_missing(ByteSpan options, Bytes& nak) override;
  bool take_nak(const Option& option) override;
  bool take_reject(const Option& option) override;

 private:
  std::uint64_t peer_ = 0, own_ = 0;
};

/// CCP for MPPE alone (RFC 1962, 3078 2): 128 bits both ways, each direction stateless or stateful by its receiver's word.
class Ccp : public ControlProtocol {
 public:
  /// Whom it serves, beside the layer.
  class Owner {
   public:
    virtual ~Owner() = default;
    /// The peer lost its place in our key stream (RFC 3078 7.3).
    virtual void reset_requested() = 0;
  };
  Ccp(Limits limits, Layer& layer, Owner& owner) : ControlProtocol(Protocol::kCcp, limits, layer), owner_(owner) {}
  /// What the peer sends, what we send, is encrypted without state; known once it is open.
  [[nodiscard]] bool receives_stateless() const { return receives_stateless_; }
  [[nodiscard]] bool sends_stateless() const { return sends_stateless_; }
  void request_reset();

 protected:
  void begin() override;
  void write_request(Bytes& out) override;
  Judgement judge(const Option& option, Bytes& nak) override;
  void demand_missing(ByteSpan options, Bytes& nak) override;
  void peer_settled(ByteSpan options) override;
  void own_settled(ByteSpan options) override;
  bool take_nak(const Option& option) override;
  bool take_reject(const Option& option) override;
  bool take_code(const Packet& packet, Time now) override;

 private:
  Owner& owner_;
  std::uint32_t asked_ = 0;  ///< bits of our request
  bool receives_stateless_ = true, sends_stateless_ = true;
};

}  // namespace sekisho::vpn::ppp
