// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/wire/reader.h"

/// Words of the log for what IKE says otherwise.
namespace sekisho::vpn {

/// "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384" as the log writes it: "AES256-GCM16/PRFSHA384/ECP384". What it does not know stays.
std::string suite_label(std::string_view algorithms);
/// What a peer runs, by its vendor ids: of those that are known the first, else one that is text (at most 64 characters), else nothing.
std::string client_label(std::span<const ByteSpan> vendor_ids);
/// The realm of a name: what follows its last '@'.
std::string_view realm_of(std::string_view user);

}  // namespace sekisho::vpn
