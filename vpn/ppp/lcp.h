// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vpn/ppp/control_protocol.h"

namespace sekisho::vpn::ppp {

/// The link control protocol (RFC 1661 6, RFC 1570 2.1): the link's options, echoes, and who the peer says it is.
class Lcp : public ControlProtocol {
 public:
  /// Whom it serves, beside the layer.
  class Link {
   public:
    virtual ~Link() = default;
    virtual void protocol_rejected(std::uint16_t protocol, Time now) = 0;
    virtual void identified(ByteSpan text) = 0;
  };

  Lcp(const Options& options, Layer& layer, Link& link, const Random& random);

  /// As lower_up(), but a peer that stays silent gets our first request again soon.
  void begin_link(Time now);
  void send_echo();
  void reject_protocol(std::uint16_t protocol, ByteSpan payload);
  [[nodiscard]] const Agreed& agreed() const { return agreed_; }

 protected:
  void begin() override;
  void write_request(Bytes& out) override;
  Judgement judge(const Option& option, Bytes& nak) override;
  void peer_settled(ByteSpan options) override;
  void own_settled(ByteSpan options) override;
  bool take_nak(const Option& option) override;
  bool take_reject(const Option& option) override;
  bool take_code(const Packet& packet, Time now) override;

 private:
  bool choose_method(const Option& wanted);
  [[nodiscard]] std::uint32_t make_magic() const;

  const Options& options_;
  Link& link_;
  const Random& random_;
  Agreed agreed_;
  std::uint32_t magic_ = 0;   ///< zero: the peer rejected the option
  std::uint16_t mru_ = 0;     ///< zero: likewise
  bool compress_protocol_ = false, compress_address_ = false;
  std::size_t method_ = 0;    ///< of options_.methods, the one asked for
  unsigned refused_ = 0;      ///< a bit for each the peer would not have
  std::uint8_t identifications_ = 0;
};

}  // namespace sekisho::vpn::ppp
