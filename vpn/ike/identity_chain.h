/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Whether `bytes` are what the first encrypted message of an IKEv1 main mode begins with (RFC 2408 3.2, 3.8): a chain of payloads, an
 * identity first, with nothing behind it but less than a block of padding. By chance a wrong key does that once in 2^30. */
static inline bool begins_with_identity(const uint8_t *bytes, size_t size)
{
	enum { HEADER = 4, ID_TYPES_END = 12, PADDING_MAX = 32, PAYLOADS_MAX = 32 };
	size_t at = 0, payloads = 0;
	uint8_t next = 1;

	if (size < HEADER + 4 || !bytes[HEADER] || bytes[HEADER] >= ID_TYPES_END)
	{
		return false;
	}
	while (next)
	{
		size_t length = 0;
		if (size - at < HEADER)
		{
			return false;
		}
		next = bytes[at];
		length = length * 256 + bytes[at + 2];
		length = length * 256 + bytes[at + 3];
		if (bytes[at + 1] || length < HEADER || length > size - at || ++payloads > PAYLOADS_MAX)
		{
			return false;
		}
		at += length;
	}
	return payloads > 1 && size - at < PADDING_MAX;
}
