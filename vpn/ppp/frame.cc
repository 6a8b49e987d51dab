// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/frame.h"

namespace sekisho::vpn::ppp {

Result<Frame> parse_frame(ByteSpan bytes) {
  if (bytes.size() >= 2 && bytes[0] == 0xff && bytes[1] == 0x03) bytes = bytes.subspan(2);
  WireReader reader(bytes);
  Frame out;
  SEKISHO_TRY(out.protocol, reader.u8());
  if ((out.protocol & 1) == 0) {
    SEKISHO_TRY(const std::uint8_t low, reader.u8());
    if ((low & 1) == 0) return Error{ErrorCode::kMalformed, ErrorSite::kWire, 0};
    out.protocol = static_cast<std::uint16_t>(out.protocol << 8 | low);
  }
  SEKISHO_TRY(out.payload, reader.take(reader.remaining()));
  return out;
}

Result<Packet> parse_packet(ByteSpan payload) {
  WireReader reader(payload);
  Packet out;
  SEKISHO_TRY(out.code, reader.u8());
  SEKISHO_TRY(out.id, reader.u8());
  SEKISHO_TRY(const std::uint16_t length, reader.u16());
  if (length < 4) return Error{ErrorCode::kMalformed, ErrorSite::kWire, 2};
  SEKISHO_TRY(out.data, reader.take(length - 4U));
  out.whole = payload.first(length);
  return out;
}

std::optional<Option> OptionReader::next() {
  if (rest_.size() < 2 || rest_[1] < 2 || rest_[1] > rest_.size()) return std::nullopt;
  const ByteSpan whole = rest_.first(rest_[1]);
  rest_ = rest_.subspan(whole.size());
  return Option{whole[0], whole.subspan(2), whole};
}

bool are_options_sound(ByteSpan options) {
  OptionReader reader(options);
  while (reader.next()) {
  }
  return reader.sound();
}

std::optional<Option> find_option(ByteSpan options, std::uint8_t type, std::size_t value_size) {
  OptionReader reader(options);
  while (const auto option = reader.next()) {
    if (option->type == type && option->value.size() == value_size) return option;
  }
  return std::nullopt;
}

std::vector<std::uint8_t> control_frame(Protocol protocol, std::uint8_t code, std::uint8_t id, ByteSpan data) {
  Bytes out;
  out.u16(0xff03).u16(static_cast<std::uint16_t>(protocol)).u8(code).u8(id).u16(data.size() + 4).append(data);
  return out.take();
}

}  // namespace sekisho::vpn::ppp
