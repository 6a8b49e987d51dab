// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/net/address.h"

/// The small languages inside the document's texts: what validate checks and compile reads by the same functions.
namespace sekisho::control {

/// Characters (code points) of UTF-8 text.
std::size_t count_characters(std::string_view text);
/// At most `characters` leading characters.
std::string_view cut_characters(std::string_view text, std::size_t characters);
/// Offset of the first byte that is no UTF-8, or a control character other than tab, newline and carriage return.
std::size_t find_bad_text(std::string_view text);
/// True when the text is in Unicode Normalization Form C (UAX #15): two names that look alike are then alike.
bool is_nfc(std::string_view text);

/// Inclusive, host order.
struct PortRange {
  std::uint16_t low = 0;
  std::uint16_t high = 0;
  auto operator<=>(const PortRange&) const = default;
};
/// "80" or "8000-8080"; 1..65535.
std::optional<PortRange> parse_port_range(std::string_view text);

/// A run of addresses of one family, both ends included.
struct AddressSpan {
  Address low;
  Address high;
  auto operator<=>(const AddressSpan&) const = default;
};
/// "10.0.0.1", "10.0.0.0/24" (host bits clear), "10.0.0.1-10.0.0.9"; IPv6 likewise.
std::optional<AddressSpan> parse_address_entry(std::string_view text);

struct Protocol {
  std::uint8_t number = 0;
  bool any = false;
  [[nodiscard]] bool has_ports() const { return !any && (number == 6 || number == 17 || number == 132); }
  [[nodiscard]] bool is_icmp() const { return !any && (number == 1 || number == 58); }
};
/// tcp, udp, icmp, icmpv6, any, or 0..255.
std::optional<Protocol> parse_protocol(std::string_view text);

using Uuid = std::array<std::uint8_t, 16>;
/// "6f1d2c84-0000-4000-8000-000000000001", either case; never all zero.
std::optional<Uuid> parse_uuid(std::string_view text);

/// A certificate's serial number as it is compared: small hexadecimal digits without leading zeros. Empty: the text is none.
std::string plain_serial(std::string_view text);
std::string to_string(const Uuid& uuid);

/// "[a-z]{3}[0-9]{8}"
bool is_service_code(std::string_view text);

/// One mail address as SMTP takes it between < and >: at most 254 bytes of ASCII, without quotes, spaces or brackets.
bool is_mail_address(std::string_view text);

}  // namespace sekisho::control
