// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mgmt/cli/commands.h"

namespace sekisho::mgmt {

/// What `sekishoctl explain` was told, as text; empty means not said.
struct ExplainRequest {
  std::string tenant, port, candidate;
  std::string user;    ///< whose tunnel the described packet comes by
  std::string frame;   ///< hexadecimal digits
  std::string pcap;    ///< file; frame `number` of it is explained
  std::string replay;  ///< file; all of it goes through the candidate
  std::uint32_t number = 1;
  std::string from, to, protocol = "tcp", flags, source_mac, destination_mac;
  std::uint32_t source_port = 49'152, destination_port = 0, ttl = 64, payload = 0;
  std::uint32_t icmp_type = 0, icmp_code = 0, icmp_id = 1;
  bool icmp_said = false;
  std::string sequence, acknowledgement;
};

/// Asks controld and prints the steps, or, for a replay, the flows that would flip: then kFlips when there are some.
ExitStatus explain_packet(Session& session, const ExplainRequest& request);

/// Puts a packet in words into a message. A sentence when it is none.
std::variant<ipc::DescribedPacket, std::string> describe_packet(const ExplainRequest& request);
/// Bytes of hexadecimal digits; spaces and colons between them are skipped. A sentence when it is none.
std::variant<std::string, std::string_view> bytes_of_hex(const std::string& text);

}  // namespace sekisho::mgmt
