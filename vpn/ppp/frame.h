// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/net/endian.h"
#include "base/result.h"
#include "base/wire/reader.h"

/// PPP frames, control packets and their options, as bytes (RFC 1661 2, 5, 6).
namespace sekisho::vpn::ppp {

enum class Protocol : std::uint16_t {
  kIp4 = 0x0021,
  kIp6 = 0x0057,
  kCompressed = 0x00fd,
  kIpcp = 0x8021,
  kIpv6cp = 0x8057,
  kCcp = 0x80fd,
  kLcp = 0xc021,
  kPap = 0xc023,
  kChap = 0xc223,
  kEap = 0xc227,
};

/// A frame without address and control. Borrows.
struct Frame {
  std::uint16_t protocol = 0;
  ByteSpan payload;
};

/// Takes FF 03 and a protocol of two bytes or (RFC 1661 6.5) one. kMalformed: a number no protocol can have.
Result<Frame> parse_frame(ByteSpan bytes);

/// A control packet. What follows its length is padding. Borrows.
struct Packet {
  std::uint8_t code = 0;
  std::uint8_t id = 0;
  ByteSpan data;   ///< behind the four bytes
  ByteSpan whole;  ///< with them
};

Result<Packet> parse_packet(ByteSpan payload);

struct Option {
  std::uint8_t type = 0;
  ByteSpan value;
  ByteSpan whole;
};

/// Options one behind the other. Stops at the first that is not whole: sound() says whether all were.
class OptionReader {
 public:
  explicit OptionReader(ByteSpan options) : rest_(options) {}
  std::optional<Option> next();
  [[nodiscard]] bool sound() const { return rest_.empty(); }

 private:
  ByteSpan rest_;
};

/// Whether all options of `options` are whole.
bool are_options_sound(ByteSpan options);
/// The option of this type; nothing without one, or when it has another size.
std::optional<Option> find_option(ByteSpan options, std::uint8_t type, std::size_t value_size);

/// Bytes under construction.
class Bytes {
 public:
  Bytes& u8(std::size_t value) {
    out_.push_back(static_cast<std::uint8_t>(value));
    return *this;
  }
  Bytes& u16(std::size_t value) { return u8(value >> 8).u8(value & 0xff); }
  Bytes& u32(std::uint64_t value) { return u16((value >> 16) & 0xffff).u16(value & 0xffff); }
  Bytes& append(ByteSpan bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Bytes& append(std::string_view text) { return append({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}); }
  Bytes& option(std::uint8_t type, ByteSpan value) { return u8(type).u8(value.size() + 2).append(value); }
  Bytes& option16(std::uint8_t type, std::uint16_t value) { return u8(type).u8(4).u16(value); }
  Bytes& option32(std::uint8_t type, std::uint32_t value) { return u8(type).u8(6).u32(value); }
  [[nodiscard]] ByteSpan span() const { return out_; }
  [[nodiscard]] bool empty() const { return out_.empty(); }
  [[nodiscard]] std::vector<std::uint8_t> take() { return std::move(out_); }

 private:
  std::vector<std::uint8_t> out_;
};

/// A whole frame around one control packet.
std::vector<std::uint8_t> control_frame(Protocol protocol, std::uint8_t code, std::uint8_t id, ByteSpan data);

}  // namespace sekisho::vpn::ppp
