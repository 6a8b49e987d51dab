/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SEKISHO_VPN_IKE_MSCHAPV2_H_
#define SEKISHO_VPN_IKE_MSCHAPV2_H_

/** What a peer answers in EAP-MSCHAPv2 (RFC 2759 4; draft-kamath-pppext-eap-mschapv2 2.1), read without libcharon: its tests and its
 * fuzz target need none. C and C++. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Sizes in bytes: EAP header, type, opcode, identifier and length; then the value the size octet announces. */
enum { MSCHAPV2_HEADER = 9, MSCHAPV2_CHALLENGE = 16, MSCHAPV2_RESERVED = 8, MSCHAPV2_NT_RESPONSE = 24, MSCHAPV2_VALUE = 49 };
enum { MSCHAPV2_EAP_RESPONSE = 2, MSCHAPV2_EAP_TYPE = 26 };
enum { MSCHAPV2_OP_CHALLENGE = 1, MSCHAPV2_OP_RESPONSE = 2, MSCHAPV2_OP_SUCCESS = 3, MSCHAPV2_OP_FAILURE = 4 };

/** Points into the packet it was read from. */
typedef struct {
	const uint8_t *peer_challenge; /**< MSCHAPV2_CHALLENGE bytes */
	const uint8_t *nt_response;    /**< MSCHAPV2_NT_RESPONSE bytes */
	const uint8_t *name;           /**< as the peer wrote it, "DOMAIN\\name" too; any bytes */
	size_t name_size;
} sekisho_mschapv2_response_t;

/** The opcode of an EAP response of this method, or 0: another packet. */
static inline uint8_t sekisho_mschapv2_opcode(const uint8_t *data, size_t size)
{
	return size >= 6 && data[0] == MSCHAPV2_EAP_RESPONSE && data[4] == MSCHAPV2_EAP_TYPE ? data[5] : 0;
}

/** False when the packet is no whole response, or its value is not of the one size there is. */
static inline bool sekisho_mschapv2_read(const uint8_t *data, size_t size, sekisho_mschapv2_response_t *out)
{
	const size_t value = MSCHAPV2_HEADER + 1, name = value + MSCHAPV2_VALUE;

	if (sekisho_mschapv2_opcode(data, size) != MSCHAPV2_OP_RESPONSE || size < name || data[MSCHAPV2_HEADER] != MSCHAPV2_VALUE)
	{
		return false;
	}
	out->peer_challenge = data + value;
	out->nt_response = data + value + MSCHAPV2_CHALLENGE + MSCHAPV2_RESERVED;
	out->name = data + name;
	out->name_size = size - name;
	return true;
}

#endif
