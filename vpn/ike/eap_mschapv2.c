// SPDX-License-Identifier: GPL-2.0-or-later
/* EAP-MSCHAPv2, the server's side: RFC 2759 and draft-kamath-pppext-eap-mschapv2, keys by RFC 3079.
 * strongSwan's own method sleeps in the worker after a wrong password, so that a handful of wrong ones stops everybody. This one
 * answers at once with EAP-Failure and leaves counting to who decides about users. An unknown user costs the same as a known one. */
#include <eap/eap.h>
#include <sa/eap/eap_method.h>

#include "vpn/ike/internal.h"
#include "vpn/ike/mschapv2.h"

enum { AUTHENTICATOR_SIZE = 20 };

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

static bool digest(hash_algorithm_t algorithm, uint8_t *out, chunk_t a, chunk_t b, chunk_t c)
{
	hasher_t *hasher = lib->crypto->create_hasher(lib->crypto, algorithm);
	bool done = hasher && hasher->get_hash(hasher, a, NULL) && hasher->get_hash(hasher, b, NULL) &&
				hasher->get_hash(hasher, c, out);

	DESTROY_IF(hasher);
	return done;
}

/** Seven octets of key to eight, parity bits cleared: DES ignores them. */
static void spread(const uint8_t *key, uint8_t out[8])
{
	uint64_t bits = 0;

	for (int i = 0; i < 7; i++)
	{
		bits = bits << 8 | key[i];
	}
	for (int i = 0; i < 8; i++)
	{
		out[i] = (uint8_t)(bits >> (49 - 7 * i)) << 1;
	}
}

/** RFC 2759 8.5: three DES keys out of the hash, each over the same eight octets. */
static bool challenge_response(const uint8_t challenge_hash[8], const uint8_t nt_hash[16], uint8_t out[MSCHAPV2_NT_RESPONSE])
{
	crypter_t *crypter = lib->crypto->create_crypter(lib->crypto, ENCR_DES_ECB, 8);
	uint8_t padded[21] = {}, key[8];
	bool done = crypter != NULL;

	memcpy(padded, nt_hash, 16);
	for (int i = 0; done && i < 3; i++)
	{
		spread(padded + 7 * i, key);
		memcpy(out + 8 * i, challenge_hash, 8);
		done = crypter->set_key(crypter, chunk_from_thing(key)) &&
			   crypter->encrypt(crypter, chunk_create(out + 8 * i, 8), chunk_empty, NULL);
	}
	memwipe(padded, sizeof(padded));
	memwipe(key, sizeof(key));
	DESTROY_IF(crypter);
	return done;
}

static chunk_t text(const char *value)
{
	return chunk_create((u_char*)value, strlen(value));
}

/** RFC 2759 8.7: what proves to the peer that we know the password too. */
static bool authenticator_response(const uint8_t hash_hash[16], const uint8_t challenge_hash[8], chunk_t nt_response,
								   uint8_t out[AUTHENTICATOR_SIZE])
{
	uint8_t first[HASH_SIZE_SHA1];

	return digest(HASH_SHA1, first, chunk_create((u_char*)hash_hash, 16), nt_response,
				  text("Magic server to client signing constant")) &&
		   digest(HASH_SHA1, out, chunk_from_thing(first), chunk_create((u_char*)challenge_hash, 8),
				  text("Pad to make it do more than one iteration"));
}

static bool session_key(chunk_t master, const char *magic, uint8_t out[16])
{
	uint8_t zeros[40] = {}, pad[40], key[HASH_SIZE_SHA1];
	hasher_t *hasher = lib->crypto->create_hasher(lib->crypto, HASH_SHA1);
	bool done;

	memset(pad, 0xf2, sizeof(pad));
	done = hasher && hasher->get_hash(hasher, master, NULL) && hasher->get_hash(hasher, chunk_from_thing(zeros), NULL) &&
		   hasher->get_hash(hasher, text(magic), NULL) && hasher->get_hash(hasher, chunk_from_thing(pad), key);
	memcpy(out, key, 16);
	memwipe(key, sizeof(key));
	DESTROY_IF(hasher);
	return done;
}

/** RFC 3079 3.4: receive and send key, padded with zeros to the 64 octets of an MSK. */
static bool master_session_key(const uint8_t hash_hash[16], chunk_t nt_response, chunk_t *msk)
{
	uint8_t master[HASH_SIZE_SHA1], keys[64] = {};
	bool done = digest(HASH_SHA1, master, chunk_create((u_char*)hash_hash, 16), nt_response,
					   text("This is the MPPE Master Key")) &&
		session_key(chunk_create(master, 16), "On the client side, this is the send key; on the server side, it is the receive key.",
					keys) &&
		session_key(chunk_create(master, 16), "On the client side, this is the receive key; on the server side, it is the send key.",
					keys + 16);

	if (done)
	{
		*msk = chunk_clone(chunk_from_thing(keys));
	}
	memwipe(master, sizeof(master));
	memwipe(keys, sizeof(keys));
	return done;
}

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
static bool verify(private_method_t *this, const sekisho_mschapv2_response_t *given, uint8_t authenticator[AUTHENTICATOR_SIZE])
{
	chunk_t peer_challenge = chunk_create((u_char*)given->peer_challenge, MSCHAPV2_CHALLENGE);
	chunk_t nt_response = chunk_create((u_char*)given->nt_response, MSCHAPV2_NT_RESPONSE);
	chunk_t name = chunk_create((u_char*)given->name, given->name_size);
	uint8_t nt_hash[16] = {}, hash_hash[16], challenge_hash[HASH_SIZE_SHA1], expected[MSCHAPV2_NT_RESPONSE];
	char user[256];
	bool known, right;

	snprintf(user, sizeof(user), "%Y", this->peer);
	known = sekisho_ops->secret(sekisho_ops->context, &this->path, SEKISHO_SECRET_NT_HASH, user, nt_hash, sizeof(nt_hash)) ==
			sizeof(nt_hash) && is_peer(this, name);
	right = digest(HASH_SHA1, challenge_hash, peer_challenge, chunk_from_thing(this->challenge), bare_name(name)) &&
			challenge_response(challenge_hash, nt_hash, expected) && memeq_const(expected, nt_response.ptr, MSCHAPV2_NT_RESPONSE);
	right = known && right && digest(HASH_MD4, hash_hash, chunk_from_thing(nt_hash), chunk_empty, chunk_empty) &&
			authenticator_response(hash_hash, challenge_hash, nt_response, authenticator) &&
			master_session_key(hash_hash, nt_response, &this->msk);
	memwipe(nt_hash, sizeof(nt_hash));
	memwipe(hash_hash, sizeof(hash_hash));
	memwipe(expected, sizeof(expected));
	return right;
}

static status_t process_response(private_method_t *this, chunk_t data, eap_payload_t **out)
{
	sekisho_mschapv2_response_t given;
	uint8_t authenticator[AUTHENTICATOR_SIZE];
	char message[64];
	int size = 2;

	if (!sekisho_mschapv2_read(data.ptr, data.len, &given) || !verify(this, &given, authenticator))
	{
		char user[256];

		snprintf(user, sizeof(user), "%Y", this->peer);
		sekisho_ops->wrong_secret(sekisho_ops->context, &this->path, user);
		sekisho_report_cause(charon->bus->get_sa(charon->bus), SEKISHO_CAUSE_PASSWORD);
		return FAILED;
	}
	memcpy(message, "S=", 2);
	for (int i = 0; i < AUTHENTICATOR_SIZE; i++)
	{
		size += snprintf(message + size, sizeof(message) - size, "%02X", authenticator[i]);
	}
	size += snprintf(message + size, sizeof(message) - size, " M=OK");
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
