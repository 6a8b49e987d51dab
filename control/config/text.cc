// SPDX-License-Identifier: Apache-2.0
#include "control/config/text.h"

#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include <algorithm>
#include <charconv>
#include <vector>

namespace sekisho::control {
namespace {

bool is_continuation(char c) { return (static_cast<std::uint8_t>(c) & 0xc0U) == 0x80U; }

/// Bytes of the well-formed UTF-8 character at the front (Unicode table 3-7), 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<std::uint8_t>(text[i]) : std::uint8_t{0}; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0U) == 0x80U; };
  const std::uint8_t first = byte(0);
  const std::uint8_t second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (first == 0xe0 && second < 0xa0) return 0;
    if (first == 0xed && second > 0x9f) return 0;
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (first == 0xf0 && second < 0x90) return 0;
    if (first == 0xf4 && second > 0x8f) return 0;
    return tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

template <typename Number>
std::optional<Number> parse_decimal(std::string_view text) {
  Number value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool canonical = text == "0" || (!text.empty() && text[0] != '0');
  if (status != std::errc{} || end != text.data() + text.size() || !canonical) return std::nullopt;
  return value;
}

}  // namespace

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::string_view cut_characters(std::string_view text, std::size_t characters) {
  std::size_t end = 0;
  while (end < text.size() && characters-- > 0) {
    do ++end;
    while (end < text.size() && is_continuation(text[end]));
  }
  return text.substr(0, end);
}

std::size_t find_bad_text(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<std::uint8_t>(text[i]);
    const bool control = (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
    const std::size_t length = control ? 0 : utf8_length(text.substr(i));
    if (length == 0) return i;
    const bool c1 = length == 2 && c == 0xc2 && static_cast<std::uint8_t>(text[i + 1]) < 0xa0;
    if (c1) return i;
    i += length;
  }
  return std::string_view::npos;
}

bool is_nfc(std::string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<std::uint8_t>(c) < 0x80; })) return true;
  UErrorCode status = U_ZERO_ERROR;
  const UNormalizer2* nfc = unorm2_getNFCInstance(&status);
  std::vector<UChar> wide(text.size() + 1);  // UTF-16 never has more units than UTF-8 has bytes
  std::int32_t length = 0;
  u_strFromUTF8(wide.data(), static_cast<std::int32_t>(wide.size()), &length, text.data(),
                static_cast<std::int32_t>(text.size()), &status);
  return U_SUCCESS(status) && unorm2_isNormalized(nfc, wide.data(), length, &status) != 0 && U_SUCCESS(status);
}

std::optional<PortRange> parse_port_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto low = parse_decimal<std::uint16_t>(text.substr(0, dash));
  const auto high = dash == std::string_view::npos ? low : parse_decimal<std::uint16_t>(text.substr(dash + 1));
  if (!low || !high || *low == 0 || *high < *low) return std::nullopt;
  return PortRange{*low, *high};
}

std::optional<AddressSpan> parse_address_entry(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) {
    const auto prefix = parse_prefix(text);
    if (!prefix || prefix->first() != prefix->address) return std::nullopt;
    return AddressSpan{prefix->first(), prefix->last()};
  }
  const auto low = parse_address(text.substr(0, dash));
  const auto high = parse_address(text.substr(dash + 1));
  if (!low || !high || low->family != high->family || *high < *low) return std::nullopt;
  return AddressSpan{*low, *high};
}

std::optional<Protocol> parse_protocol(std::string_view text) {
  if (text == "tcp") return Protocol{6, false};
  if (text == "udp") return Protocol{17, false};
  if (text == "sctp") return Protocol{132, false};
  if (text == "gre") return Protocol{47, false};
  if (text == "esp") return Protocol{50, false};
  if (text == "icmp") return Protocol{1, false};
  if (text == "icmpv6") return Protocol{58, false};
  if (text == "any") return Protocol{0, true};
  const auto number = parse_decimal<std::uint8_t>(text);
  if (!number) return std::nullopt;
  return Protocol{*number, false};
}

std::string plain_serial(std::string_view text) {
  constexpr std::size_t kDigitsMax = 40;
  std::string out;
  for (const char c : text) {
    const char small = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    if (!((small >= '0' && small <= '9') || (small >= 'a' && small <= 'f'))) return {};
    if (!out.empty() || small != '0') out += small;
  }
  return out.size() > kDigitsMax ? std::string() : out;
}

std::optional<Uuid> parse_uuid(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  Uuid out{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < text.size();) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i++] != '-') return std::nullopt;
      continue;
    }
    const auto [end, status] = std::from_chars(text.data() + i, text.data() + i + 2, out[at++], 16);
    if (status != std::errc{} || end != text.data() + i + 2) return std::nullopt;
    i += 2;
  }
  if (out == Uuid{}) return std::nullopt;
  return out;
}

std::string to_string(const Uuid& uuid) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += kDigits[uuid[i] >> 4U];
    out += kDigits[uuid[i] & 15U];
  }
  return out;
}

bool is_service_code(std::string_view text) {
  if (text.size() != 11) return false;
  return std::all_of(text.begin(), text.begin() + 3, [](char c) { return c >= 'a' && c <= 'z'; }) &&
         std::all_of(text.begin() + 3, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_mail_address(std::string_view text) {
  constexpr std::size_t kBytesMax = 254;
  constexpr std::string_view kMarks = "!#$%&'*+-/=?^_`{|}~.";
  const std::size_t at = text.find('@');
  if (text.size() > kBytesMax || at == 0 || at == std::string_view::npos) return false;
  const std::string_view domain = text.substr(at + 1);
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  return !domain.empty() && domain.front() != '.' && domain.back() != '.' && text.front() != '.' && text[at - 1] != '.' &&
         std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at),
                     [&](char c) { return plain(c) || kMarks.find(c) != std::string_view::npos; }) &&
         std::all_of(domain.begin(), domain.end(), [&](char c) { return plain(c) || c == '-' || c == '.'; });
}

}  // namespace sekisho::control
