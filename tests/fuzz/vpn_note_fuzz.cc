// SPDX-License-Identifier: Apache-2.0
// Any bytes as the note of a tunnel that a daemon before left: none, or one that is written again as it is.
#include "base/assert.h"
#include "vpn/note.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho::vpn;
  const auto note = read_note({data, size});
  if (!note) return 0;
  const auto up = up_record(*note);
  SEKISHO_ASSERT(up.eid() == note->up_eid && up.vpn().vpn_sid() == note->down.vpn().vpn_sid());
  const auto bytes = write_note(*note);
  const auto again = read_note(bytes);
  SEKISHO_ASSERT(again && again->down.eid() == note->down.eid() && again->user == note->user);
  return 0;
}
