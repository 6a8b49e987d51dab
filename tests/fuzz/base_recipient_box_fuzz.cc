// SPDX-License-Identifier: Apache-2.0
// What somebody hands in as a backup or an export sealed for a recipient. Input: the sealed bytes. Nobody here has what they were sealed
// with: whatever opens says what was sealed.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "base/crypto/recipient_box.h"

namespace {
std::size_t accepted = 0;
/// Of nobody.
constexpr std::string_view kKey =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUZ8IPzQANcVnxcms\n"
    "Px9J3h8p8+/GFF50OM3C/vmZXj+hRANCAARc2c0ExjxQiOkLDcXy2wE7IqUcH66c\n"
    "cmFyr6E9uQ83S0jDwDavyvrk8mkf2mG0xwyvXh4sqOI9HnkP+9JOWxQe\n"
    "-----END PRIVATE KEY-----\n";
}  // namespace

extern "C" std::size_t sekisho_fuzz_accepted() { return accepted; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto opened = sekisho::open_as_recipient(kKey, {reinterpret_cast<const char*>(data), size});
  if (!opened) return 0;
  SEKISHO_ASSERT(*opened == "what was sealed");
  ++accepted;
  return 0;
}
