// SPDX-License-Identifier: GPL-2.0-or-later
/* EAP-MSCHAPv2, the server's side: RFC 2759 and draft-kamath-pppext-eap-mschapv2, keys by RFC 3079.
 * strongSwan's own method sleeps in the worker after a wrong password, so that a handful of wrong ones stops everybody. This one
 * answers at once with EAP-Failure and leaves counting to who decides about users. An unknown user costs the same as a known one. */
#include <eap/eap.h>
#include <sa/eap/eap_method.h>

#include "vpn/ike/internal.h"
#include "vpn/ike/mschapv2.h"
#include "vpn/weak/mschapv2_c.h"

enum { AUTHENTICATOR_SIZE = 43 }; /* "S=", 40 digits, a NUL */

/** Who answers: shown by no client. */
static const char SERVER_NAME[] = "gateway";

typedef struct private_method_t private_method_t;

struct private_method_t {
	eap_method_t public;
	sekisho_path path;
	identification_t *peer;
	uint8_t identifier;
	uint8_t challenge[MSCHAPV2_CHALLENGE];
	chunk_t msk;
	bool verified;
};

static eap_payload_t *request(private_method_t *this, uint8_t opcode, chunk_t body)
{
	chunk_t data = chunk_alloca(MSCHAPV2_HEADER + body.len);

	data.ptr[0] = EAP_REQUEST;
	data.ptr[1] = this->identifier;
	htoun16(data.ptr + 2, data.len);
	data.ptr[4] = EAP_MSCHAPV2;
	data.ptr[5] = opcode;
	data.ptr[6] = this->identifier;
	htoun16(data.ptr + 7, data.len - 5);
	memcpy(data.ptr + MSCHAPV2_HEADER, body.ptr, body.len);
	return eap_payload_create_data(data);
}

METHOD(eap_method_t, initiate, status_t,
	private_method_t *this, eap_payload_t **out)
{
	rng_t *rng = lib->crypto->create_rng(lib->crypto, RNG_STRONG);
	uint8_t body[1 + MSCHAPV2_CHALLENGE + sizeof(SERVER_NAME) - 1];
	bool done = rng && rng->get_bytes(rng, MSCHAPV2_CHALLENGE, this->challenge);

	DESTROY_IF(rng);
	if (!done)
	{
		return FAILED;
	}
	body[0] = MSCHAPV2_CHALLENGE;
	memcpy(body + 1, this->challenge, MSCHAPV2_CHALLENGE);
	memcpy(body + 1 + MSCHAPV2_CHALLENGE, SERVER_NAME, sizeof(SERVER_NAME) - 1);
	*out = request(this, MSCHAPV2_OP_CHALLENGE, chunk_from_thing(body));
	return NEED_MORE;
}

/** The name a password belongs to: without "DOMAIN\". */
static chunk_t bare_name(chunk_t name)
{
	u_char *backslash = memchr(name.ptr, '\\', name.len);

	return backslash ? chunk_skip(name, backslash - name.ptr + 1) : name;
}

/** True when `name` is who the peer said it was by EAP-Identity: nobody logs in under another's name. */
static bool is_peer(private_method_t *this, chunk_t name)
{
	return chunk_equals(bare_name(this->peer->get_encoding(this->peer)), bare_name(name));
}

/** Fills the authenticator response and the MSK when `given` is right. */
static bool verify(private_method_t *this, const sekisho_mschapv2_response_t *given, char authenticator[AUTHENTICATOR_SIZE])
{
	chunk_t name = chunk_create((u_char*)given->name, given->name_size);
	uint8_t nt_hash[16] = {}, msk[64];
	char user[256];
	bool known, right;

	snprintf(user, sizeof(user), "%Y", this->peer);
	known = sekisho_ops->secret(sekisho_ops->context, &this->path, SEKISHO_SECRET_NT_HASH, user, nt_hash, sizeof(nt_hash)) ==
			sizeof(nt_hash) && is_peer(this, name);
	right = sekisho_mschapv2_verify(nt_hash, this->challenge, given->peer_challenge, given->nt_response, name.ptr, name.len,
									authenticator, msk) && known;
	if (right)
	{
		this->msk = chunk_clone(chunk_from_thing(msk));
	}
	memwipe(nt_hash, sizeof(nt_hash));
	memwipe(msk, sizeof(msk));
	return right;
}

static status_t process_response(private_method_t *this, chunk_t data, eap_payload_t **out)
{
	sekisho_mschapv2_response_t given;
	char authenticator[AUTHENTICATOR_SIZE], message[64];
	int size;

	if (!sekisho_mschapv2_read(data.ptr, data.len, &given) || !verify(this, &given, authenticator))
	{
		char user[256];

		snprintf(user, sizeof(user), "%Y", this->peer);
		sekisho_ops->wrong_secret(sekisho_ops->context, &this->path, user);
		sekisho_report_cause(charon->bus->get_sa(charon->bus), SEKISHO_CAUSE_PASSWORD);
		return FAILED;
	}
	size = snprintf(message, sizeof(message), "%s M=OK", authenticator);
	this->identifier++;
	this->verified = TRUE;
	*out = request(this, MSCHAPV2_OP_SUCCESS, chunk_create((u_char*)message, size));
	return NEED_MORE;
}

METHOD(eap_method_t, process, status_t,
	private_method_t *this, eap_payload_t *in, eap_payload_t **out)
{
	chunk_t data = in->get_data(in);
	uint8_t opcode = sekisho_mschapv2_opcode(data.ptr, data.len);

	if (this->verified)
	{	/* the peer believes us when it answers our success with its own */
		return opcode == MSCHAPV2_OP_SUCCESS ? SUCCESS : FAILED;
	}
	return opcode == MSCHAPV2_OP_RESPONSE ? process_response(this, data, out) : FAILED;
}

METHOD(eap_method_t, get_type, eap_type_t,
	private_method_t *this, pen_t *vendor)
{
	*vendor = 0;
	return EAP_MSCHAPV2;
}

METHOD(eap_method_t, is_mutual, bool,
	private_method_t *this)
{
	return FALSE;
}

METHOD(eap_method_t, get_msk, status_t,
	private_method_t *this, chunk_t *msk)
{
	if (!this->msk.ptr)
	{
		return FAILED;
	}
	*msk = this->msk;
	return SUCCESS;
}

METHOD(eap_method_t, get_identifier, uint8_t,
	private_method_t *this)
{
	return this->identifier;
}

METHOD(eap_method_t, set_identifier, void,
	private_method_t *this, uint8_t identifier)
{
	this->identifier = identifier;
}

METHOD(eap_method_t, get_auth, auth_cfg_t*,
	private_method_t *this)
{
	return NULL;
}

METHOD(eap_method_t, destroy_, void,
	private_method_t *this)
{
	chunk_clear(&this->msk);
	this->peer->destroy(this->peer);
	free(this);
}

eap_method_t *sekisho_eap_mschapv2_create(identification_t *server, identification_t *peer)
{
	private_method_t *this;

	INIT(this,
		.public = {
			.initiate = _initiate,
			.process = _process,
			.get_type = _get_type,
			.is_mutual = _is_mutual,
			.get_msk = _get_msk,
			.get_identifier = _get_identifier,
			.set_identifier = _set_identifier,
			.get_auth = _get_auth,
			.destroy = _destroy_,
		},
		.path = sekisho_current_path(),
		.peer = peer->clone(peer),
		.identifier = 1,
	);
	return &this->public;
}
