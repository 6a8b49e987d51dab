// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/net/address.h"
#include "base/net/checksum.h"
#include "base/net/endian.h"

/// Builds frames for tests: valid by default, with one knob a field to break exactly one thing. Header-only, no DPDK.
///
///   Frame f = FrameBuilder().ethernet(kMacA, kMacGateway).vlan(100)
///                 .ipv4("10.0.0.2", "10.0.1.5").tcp(40000, 80, {.flags = 0x02}).build();
///
/// Layers are given from the outside in; build() fills lengths and checksums from the inside out.
namespace sekisho::tests {

using Frame = std::vector<std::uint8_t>;

inline Address address(std::string_view text) { return parse_address(text).value(); }
inline Mac mac(std::string_view text) { return parse_mac(text).value(); }

inline void append(Frame& out, std::span<const std::uint8_t> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
inline void append16(Frame& out, unsigned value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}
inline void append32(Frame& out, std::uint32_t value) {
  append16(out, value >> 16);
  append16(out, value & 0xffffU);
}

/// Knobs: what is set replaces what would be right.
struct Ipv4Knobs {
  std::uint8_t ttl = 64;
  unsigned fragment = 0x4000;              ///< the flags and offset word
  std::vector<std::uint8_t> options = {};  ///< padded with zeros to a multiple of four
  std::optional<unsigned> version_length = std::nullopt, total_length = std::nullopt, checksum = std::nullopt;
  std::optional<std::uint8_t> protocol = std::nullopt;
};
struct Ipv6Knobs {
  std::uint8_t hop_limit = 64;
  std::optional<unsigned> version = std::nullopt, payload_length = std::nullopt;
  std::optional<std::uint8_t> next_header = std::nullopt;
};
struct TcpKnobs {
  std::uint8_t flags = 0x10;
  std::uint32_t sequence = 1000, acknowledgement = 2000;
  std::uint16_t window = 65535;
  std::vector<std::uint8_t> options = {};
  std::optional<unsigned> data_offset = std::nullopt, checksum = std::nullopt;
};
struct UdpKnobs {
  std::optional<unsigned> length = std::nullopt, checksum = std::nullopt;
};
struct ArpFields {
  unsigned operation = 1;
  Mac sender_mac{};
  Address sender = Address::from_v4(0);
  Mac target_mac{};
  Address target = Address::from_v4(0);
  unsigned hardware_type = 1, protocol_type = 0x0800;
  std::uint8_t hardware_bytes = 6, protocol_bytes = 4;
};
struct NdFields {
  std::optional<Address> target = std::nullopt;       ///< NS, NA, redirect
  std::optional<Address> destination = std::nullopt;  ///< redirect
  std::optional<Mac> source_link_layer = std::nullopt, target_link_layer = std::nullopt;
  std::uint32_t flags = 0;  ///< the word behind the checksum
  std::uint8_t code = 0;
  std::vector<std::uint8_t> raw_options = {};
};

class FrameBuilder {
 public:
  FrameBuilder& ethernet(const Mac& source, const Mac& destination) {
    source_ = source, destination_ = destination;
    return *this;
  }
  FrameBuilder& vlan(unsigned id, unsigned tpid = 0x8100) {
    tags_.push_back({tpid, id});
    return *this;
  }
  FrameBuilder& ether_type(unsigned type) {
    type_ = type;
    return *this;
  }
  FrameBuilder& arp(const ArpFields& f) {
    type_ = type_.value_or(0x0806);
    append16(body_, f.hardware_type);
    append16(body_, f.protocol_type);
    body_.push_back(f.hardware_bytes);
    body_.push_back(f.protocol_bytes);
    append16(body_, f.operation);
    append(body_, f.sender_mac.bytes);
    append(body_, f.sender.wire());
    append(body_, f.target_mac.bytes);
    append(body_, f.target.wire());
    return *this;
  }
  FrameBuilder& ipv4(std::string_view from, std::string_view to, Ipv4Knobs knobs = {}) {
    ip_source_ = address(from), ip_destination_ = address(to);
    ipv4_ = std::move(knobs);
    ipv4_.options.resize((ipv4_.options.size() + 3) / 4 * 4);
    return *this;
  }
  FrameBuilder& ipv6(std::string_view from, std::string_view to, Ipv6Knobs knobs = {}) {
    ip_source_ = address(from), ip_destination_ = address(to);
    ipv6_ = knobs;
    return *this;
  }
  /// An IPv6 extension header `number`; `rest` follows the next-header byte (its length byte included).
  FrameBuilder& extension(std::uint8_t number, std::vector<std::uint8_t> rest) {
    extensions_.push_back({number, std::move(rest)});
    return *this;
  }
  FrameBuilder& hop_by_hop() { return extension(0, {0, 5, 2, 0, 0, 1, 0}); }  // router alert
  FrameBuilder& destination_options() { return extension(60, {0, 1, 4, 0, 0, 0, 0}); }
  /// `word`: offset << 3 | more.
  FrameBuilder& fragment(unsigned word) {
    return extension(44, {0, static_cast<std::uint8_t>(word >> 8), static_cast<std::uint8_t>(word), 0, 0, 0, 7});
  }
  FrameBuilder& tcp(unsigned from, unsigned to, const TcpKnobs& knobs = {}) {
    protocol_ = 6, checksum_at_ = 16, checksum_ = knobs.checksum;
    append16(l4_, from);
    append16(l4_, to);
    append32(l4_, knobs.sequence);
    append32(l4_, knobs.acknowledgement);
    l4_.push_back(static_cast<std::uint8_t>(
        knobs.data_offset.value_or(5 + static_cast<unsigned>(knobs.options.size()) / 4) << 4));
    l4_.push_back(knobs.flags);
    append16(l4_, knobs.window);
    append32(l4_, 0);
    append(l4_, knobs.options);
    return *this;
  }
  FrameBuilder& udp(unsigned from, unsigned to, const UdpKnobs& knobs = {}) {
    protocol_ = 17, checksum_at_ = 6, checksum_ = knobs.checksum, udp_length_ = knobs.length;
    append16(l4_, from);
    append16(l4_, to);
    append32(l4_, 0);
    return *this;
  }
  /// ICMP or ICMPv6 by the IP header given before: type, code and the word behind the checksum.
  FrameBuilder& icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest, std::optional<unsigned> checksum = {}) {
    protocol_ = ip_source_.family == Family::kIpv6 ? 58 : 1, checksum_at_ = 2, checksum_ = checksum;
    l4_ = {type, code, 0, 0};
    append32(l4_, rest);
    return *this;
  }
  FrameBuilder& echo(std::uint16_t identifier = 7, std::uint16_t sequence = 1) {
    return icmp(ip_source_.family == Family::kIpv6 ? 128 : 8, 0, std::uint32_t{identifier} << 16 | sequence);
  }
  FrameBuilder& nd(std::uint8_t type, const NdFields& f) {
    icmp(type, f.code, f.flags);
    if (type == 134) l4_.insert(l4_.end(), 8, 0);
    if (f.target) append(l4_, f.target->wire());
    if (f.destination) append(l4_, f.destination->wire());
    if (f.source_link_layer) l4_.insert(l4_.end(), {1, 1}), append(l4_, f.source_link_layer->bytes);
    if (f.target_link_layer) l4_.insert(l4_.end(), {2, 1}), append(l4_, f.target_link_layer->bytes);
    append(l4_, f.raw_options);
    return *this;
  }
  /// Bytes of any other protocol.
  FrameBuilder& protocol(std::uint8_t number, std::vector<std::uint8_t> bytes) {
    protocol_ = number;
    l4_ = std::move(bytes);
    return *this;
  }
  FrameBuilder& payload(std::span<const std::uint8_t> bytes) {
    append(l4_.empty() && protocol_ == 0 ? body_ : l4_, bytes);
    return *this;
  }
  FrameBuilder& payload(std::size_t bytes) { return payload(Frame(bytes, 0xa5)); }
  /// Ethernet padding behind the packet.
  FrameBuilder& padding(std::size_t bytes) {
    padding_ = bytes;
    return *this;
  }

  [[nodiscard]] Frame build() const {
    Frame out;
    append(out, destination_.bytes);
    append(out, source_.bytes);
    for (const auto& [tpid, id] : tags_) append16(out, tpid), append16(out, id);
    const Frame l4 = finished_l4();
    if (ip_source_.family == Family::kIpv4) append_ipv4(out, l4);
    if (ip_source_.family == Family::kIpv6) append_ipv6(out, l4);
    if (ip_source_.family == Family::kNone) append16(out, type_.value_or(0x88b5)), append(out, body_);
    out.insert(out.end(), padding_, 0);
    return out;
  }

 private:
  struct Extension {
    std::uint8_t number;
    std::vector<std::uint8_t> rest;
  };

  [[nodiscard]] Frame finished_l4() const {
    Frame l4 = l4_;
    if (checksum_at_ == 6)
      store_be<std::uint16_t>(l4, 4,
                              static_cast<std::uint16_t>(udp_length_.value_or(static_cast<unsigned>(l4.size()))));
    if (checksum_at_ == 0) return l4;
    const std::uint32_t pseudo = protocol_ == 1 ? 0
                                                : pseudo_header_sum(ip_source_, ip_destination_, protocol_,
                                                                    static_cast<std::uint32_t>(l4.size()));
    std::uint16_t sum = checksum_fold(checksum_add(pseudo, l4));
    if (protocol_ == 17 && sum == 0) sum = 0xffff;
    store_be<std::uint16_t>(l4, checksum_at_, static_cast<std::uint16_t>(checksum_.value_or(sum)));
    return l4;
  }
  void append_ipv4(Frame& out, const Frame& l4) const {
    append16(out, type_.value_or(0x0800));
    const std::size_t start = out.size(), header = 20 + ipv4_.options.size();
    append16(out, ipv4_.version_length.value_or(0x40 + static_cast<unsigned>(header) / 4) << 8);
    append16(out, ipv4_.total_length.value_or(static_cast<unsigned>(header + l4.size())));
    append16(out, 0x1234);
    append16(out, ipv4_.fragment);
    out.push_back(ipv4_.ttl);
    out.push_back(ipv4_.protocol.value_or(protocol_));
    append16(out, 0);
    append(out, ip_source_.wire());
    append(out, ip_destination_.wire());
    append(out, ipv4_.options);
    const auto sum = checksum_fold(checksum_add(0, std::span(out).subspan(start)));
    store_be<std::uint16_t>(out, start + 10, static_cast<std::uint16_t>(ipv4_.checksum.value_or(sum)));
    append(out, l4);
  }
  void append_ipv6(Frame& out, const Frame& l4) const {
    append16(out, type_.value_or(0x86dd));
    append32(out, ipv6_.version.value_or(6) << 28);
    Frame chain;
    for (std::size_t i = 0; i < extensions_.size(); ++i) {
      chain.push_back(i + 1 < extensions_.size() ? extensions_[i + 1].number : protocol_);
      append(chain, extensions_[i].rest);
    }
    append16(out, ipv6_.payload_length.value_or(static_cast<unsigned>(chain.size() + l4.size())));
    out.push_back(ipv6_.next_header.value_or(extensions_.empty() ? protocol_ : extensions_.front().number));
    out.push_back(ipv6_.hop_limit);
    append(out, ip_source_.wire());
    append(out, ip_destination_.wire());
    append(out, chain);
    append(out, l4);
  }

  Mac source_{{0x52, 0x54, 0, 0, 1, 0x11}};
  Mac destination_{{0x52, 0x54, 0, 0, 0, 1}};
  std::vector<std::pair<unsigned, unsigned>> tags_;
  std::optional<unsigned> type_;
  Address ip_source_, ip_destination_;
  Ipv4Knobs ipv4_;
  Ipv6Knobs ipv6_;
  std::vector<Extension> extensions_;
  Frame body_, l4_;
  std::uint8_t protocol_ = 0;
  std::size_t checksum_at_ = 0, padding_ = 0;
  std::optional<unsigned> checksum_, udp_length_;
};

}  // namespace sekisho::tests
