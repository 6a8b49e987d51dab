// SPDX-License-Identifier: GPL-2.0-or-later
// Where a login waits for an OCSP responder: while charon judges the client's chain. That is done by a thread that holds no lock the
// other IKE_SAs need; listeners are called under one. What was learnt counts later, in `prove`: nothing is refused here.
#include "vpn/ike/internal.h"

static bool look_up(cert_validator_t *this, certificate_t *subject, certificate_t *issuer, u_int pathlen, bool anchor, auth_cfg_t *auth)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	chunk_t certificate = chunk_empty, by = chunk_empty;
	sekisho_description who;

	if (pathlen == 0 && ike_sa && subject->get_encoding(subject, CERT_ASN1_DER, &certificate) &&
		issuer->get_encoding(issuer, CERT_ASN1_DER, &by))
	{
		sekisho_describe(ike_sa, &who);
		sekisho_ops->look_up(sekisho_ops->context, &who.event, (sekisho_bytes){ certificate.ptr, certificate.len },
							 (sekisho_bytes){ by.ptr, by.len });
	}
	chunk_free(&certificate);
	chunk_free(&by);
	return TRUE;
}

cert_validator_t sekisho_responder = {
	.validate_online = look_up,
};
