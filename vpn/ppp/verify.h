// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vpn/ppp/types.h"
#include "vpn/weak/mschapv2.h"

/// Answers to claims for who knows the secret here, without a backend.
namespace sekisho::vpn::ppp {

/// kMschapV2, by the hash of the password; with the keys it leaves.
AuthAnswer verify_mschapv2(const AuthRequest& request, const weak::NtHash& hash);
/// kPassword, by the hash of the password, compared in constant time.
AuthAnswer verify_password(const AuthRequest& request, const weak::NtHash& hash);
/// kChapMd5, which needs the password itself.
AuthAnswer verify_chap_md5(const AuthRequest& request, ByteSpan password);

}  // namespace sekisho::vpn::ppp
