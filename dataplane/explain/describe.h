// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "dataplane/config/runtime.h"

namespace sekisho::dataplane::explain {

/// A packet in words. What is not said is what a well-behaved host would send.
struct Description {
  Address source, destination;  ///< of one family
  std::uint8_t protocol = 6;
  std::uint16_t source_port = 0, destination_port = 0;  ///< TCP, UDP
  std::uint8_t tcp_flags = 0;
  std::optional<std::uint32_t> sequence = {}, acknowledgement = {};
  std::uint8_t icmp_type = 0, icmp_code = 0;
  std::uint16_t icmp_id = 1;
  std::uint8_t ttl = 64;
  std::uint16_t payload_bytes = 0;
  std::optional<Mac> source_mac = {};       ///< else the one the port's Binding gives the source, or its first
  std::optional<Mac> destination_mac = {};  ///< else the gateway's
  std::optional<std::uint32_t> user = {};   ///< UserId whose tunnel it comes by; else whose it is whose Lease its source is
};

/// The frame that says so, with the tags of port index `port`: whole and with right checksums.
std::vector<std::uint8_t> frame_of(const Description& packet, const Runtime& runtime, std::uint32_t port);

/// A captured frame as it would come in at port index `port`: captures behind a tagged interface have lost the tags.
std::vector<std::uint8_t> with_tags(ByteSpan frame, const PortEntry& wire);

}  // namespace sekisho::dataplane::explain
