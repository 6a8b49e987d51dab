/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEKISHO_VPN_WEAK_MSCHAPV2_C_H_
#define SEKISHO_VPN_WEAK_MSCHAPV2_C_H_

/** mschapv2.h for C. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Is `nt_response` (24 bytes) the answer of who knows the password of this hash? `authenticator` gets "S=" and 40 digits with a NUL,
 * `msk` the server's receive and send key and zeros; both untouched when it is not. The caller wipes what it was given. */
bool sekisho_mschapv2_verify(const uint8_t nt_hash[16], const uint8_t challenge[16], const uint8_t peer_challenge[16],
							 const uint8_t nt_response[24], const uint8_t *user, size_t user_size, char authenticator[43],
							 uint8_t msk[64]);

#ifdef __cplusplus
}
#endif

#endif
