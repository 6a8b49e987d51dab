// SPDX-License-Identifier: Apache-2.0
#include "vpn/note.h"

#include <algorithm>

namespace sekisho::vpn {
namespace {

constexpr std::size_t kEidBytes = 16, kNameBytes = 128, kTextBytes = 64;

void cut(std::string& text, std::size_t bytes) { text.resize(std::min(text.size(), bytes)); }

}  // namespace

std::vector<std::uint8_t> write_note(Note note) {
  ipc::VpnRecord& record = *note.down.mutable_vpn();
  record.clear_user_groups();
  record.clear_certificate_subject();
  record.clear_message();
  cut(*record.mutable_ike_id(), kNameBytes);
  cut(*record.mutable_user(), kNameBytes);
  for (std::string* text : {record.mutable_realm(), record.mutable_client(), record.mutable_certificate_serial()}) cut(*text, kTextBytes);
  ipc::TunnelNote out;
  out.set_user(note.user);
  if (note.secret != 0) out.set_secret(note.secret);
  if (note.session_seconds != 0) out.set_session_seconds(note.session_seconds);
  out.set_up_eid(note.up_eid);
  *out.mutable_down() = std::move(note.down);
  if (out.ByteSizeLong() > kNoteBytesMax) {
    ipc::VpnRecord& long_one = *out.mutable_down()->mutable_vpn();
    long_one.clear_ike_id();
    long_one.clear_realm();
    long_one.clear_client();
    long_one.clear_certificate_serial();
    long_one.clear_pool();
  }
  std::vector<std::uint8_t> bytes(out.ByteSizeLong());
  (void)out.SerializeToArray(bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

std::optional<Note> read_note(ByteSpan bytes) {
  ipc::TunnelNote in;
  if (bytes.size() > kNoteBytesMax || !in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  if (in.up_eid().size() != kEidBytes || in.down().eid().size() != kEidBytes || !in.down().has_vpn()) return std::nullopt;
  return Note{in.user(), in.secret(), in.session_seconds(), in.up_eid(), std::move(*in.mutable_down())};
}

ipc::ToEventLog up_record(const Note& note) {
  ipc::ToEventLog out = note.down;
  out.set_eid(note.up_eid);
  out.mutable_vpn()->set_event(ipc::VpnRecord::UP);
  out.mutable_vpn()->clear_start_ns();
  return out;
}

}  // namespace sekisho::vpn
