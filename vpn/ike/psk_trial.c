// SPDX-License-Identifier: GPL-2.0-or-later
/* IKEv1 derives its keys from the pre-shared key before the peer has said who it is (RFC 2409 5.4): at an address where several keys
 * are known, which of them is the peer's shows only when its first encrypted message, which begins with its identity, can be read.
 * A keymat of ours keeps one of charon's for each key that may be meant and goes on with the one that fits. The peer's Diffie-Hellman
 * value is worked on once; a key more costs some hashes, and there are SEKISHO_PSKS_MAX at most. */
#include <encoding/payloads/encodings.h>
#include <sa/ikev1/keymat_v1.h>

#include "vpn/ike/identity_chain.h"
#include "vpn/ike/internal.h"

typedef struct private_trial_t private_trial_t;

struct private_trial_t {
	keymat_v1_t public;
	/** hands out what `decrypt` chooses by */
	aead_t aead;
	bool initiator;
	/** keys[0 .. count); [0] is always there */
	keymat_v1_t *keys[SEKISHO_PSKS_MAX];
	/** of the secrets these were made of */
	uint64_t marks[SEKISHO_PSKS_MAX];
	size_t count;
	keymat_v1_t *chosen;
};

static keymat_v1_t *current(private_trial_t *this)
{
	return this->chosen ?: this->keys[0];
}

/** The peer holds the key it was tried with: told, so that its sessions end with that key. */
static void report_used(private_trial_t *this, size_t index)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	if (ike_sa && this->marks[index])
	{
		sekisho_ops->psk_used(sekisho_ops->context, ike_sa->get_unique_id(ike_sa), this->marks[index]);
	}
}

static uint64_t mark_of(chunk_t secret)
{
	sekisho_bytes key = { .data = secret.ptr, .size = secret.len };
	return sekisho_ops->psk_mark(sekisho_ops->context, key);
}

static aead_t *aead_of(private_trial_t *this, size_t index, bool in)
{
	return this->keys[index]->keymat.get_aead(&this->keys[index]->keymat, in);
}

static private_trial_t *owner_of(aead_t *aead)
{
	return (private_trial_t*)((char*)aead - offsetof(private_trial_t, aead));
}

static bool trial_decrypt(aead_t *aead, chunk_t encrypted, chunk_t assoc, chunk_t iv, chunk_t *plain)
{
	private_trial_t *this = owner_of(aead);
	chunk_t tried, unused;

	for (size_t i = 0; i < this->count && !plain; i++)
	{
		aead_t *one = aead_of(this, i, TRUE);
		tried = chunk_clone(encrypted);
		if (one && one->decrypt(one, tried, assoc, iv, NULL) && begins_with_identity(tried.ptr, tried.len))
		{
			this->chosen = this->keys[i];
			report_used(this, i);
			memcpy(encrypted.ptr, tried.ptr, encrypted.len);
			chunk_clear(&tried);
			/* its own IVs begin here */
			return this->chosen->get_iv(this->chosen, 0, &unused);
		}
		chunk_clear(&tried);
	}
	sekisho_report_cause(charon->bus->get_sa(charon->bus), SEKISHO_CAUSE_PSK);
	return FALSE;
}

static bool trial_encrypt(aead_t *aead, chunk_t plain, chunk_t assoc, chunk_t iv, chunk_t *encrypted)
{
	aead_t *first = aead_of(owner_of(aead), 0, FALSE);
	return first->encrypt(first, plain, assoc, iv, encrypted);
}

static size_t trial_block_size(aead_t *aead)
{
	aead_t *first = aead_of(owner_of(aead), 0, TRUE);
	return first->get_block_size(first);
}

static size_t trial_icv_size(aead_t *aead)
{
	aead_t *first = aead_of(owner_of(aead), 0, TRUE);
	return first->get_icv_size(first);
}

static size_t trial_iv_size(aead_t *aead)
{
	aead_t *first = aead_of(owner_of(aead), 0, TRUE);
	return first->get_iv_size(first);
}

static iv_gen_t *trial_iv_gen(aead_t *aead)
{
	aead_t *first = aead_of(owner_of(aead), 0, TRUE);
	return first->get_iv_gen(first);
}

static size_t trial_key_size(aead_t *aead)
{
	aead_t *first = aead_of(owner_of(aead), 0, TRUE);
	return first->get_key_size(first);
}

static bool trial_set_key(aead_t *aead, chunk_t key)
{
	return FALSE;
}

static void trial_destroy(aead_t *aead)
{
}

METHOD(keymat_t, get_version, ike_version_t,
	private_trial_t *this)
{
	return IKEV1;
}

METHOD(keymat_t, create_ke, key_exchange_t*,
	private_trial_t *this, key_exchange_method_t method)
{
	keymat_t *first = &current(this)->keymat;
	return first->create_ke(first, method);
}

METHOD(keymat_t, create_nonce_gen, nonce_gen_t*,
	private_trial_t *this)
{
	keymat_t *first = &current(this)->keymat;
	return first->create_nonce_gen(first);
}

METHOD(keymat_t, get_aead, aead_t*,
	private_trial_t *this, bool in)
{
	if (this->chosen || !aead_of(this, 0, in))
	{
		keymat_t *one = &current(this)->keymat;
		return one->get_aead(one, in);
	}
	return &this->aead;
}

static bool is_psk(auth_method_t auth)
{
	return auth == AUTH_PSK || auth == AUTH_XAUTH_INIT_PSK || auth == AUTH_XAUTH_RESP_PSK;
}

/** Derives keys from the `index`th key that may be meant; FALSE when there are no more. */
static bool derive_another(private_trial_t *this, size_t index, proposal_t *proposal, key_exchange_t *dh, chunk_t dh_other,
						   chunk_t nonce_i, chunk_t nonce_r, ike_sa_id_t *id, auth_method_t auth)
{
	sekisho_path path = sekisho_current_path();
	uint8_t secret[SEKISHO_PSK_BYTES_MAX];
	size_t size = sekisho_ops->peer_psk(sekisho_ops->context, &path, index, secret, sizeof(secret));
	shared_key_t *key;
	keymat_v1_t *made;

	if (!size)
	{
		return FALSE;
	}
	key = shared_key_create(SHARED_IKE, chunk_clone(chunk_create(secret, size)));
	this->marks[this->count] = mark_of(chunk_create(secret, size));
	memwipe(secret, sizeof(secret));
	made = keymat_v1_create(this->initiator);
	if (made->create_hasher(made, proposal) &&
		made->derive_ike_keys(made, proposal, dh, dh_other, nonce_i, nonce_r, id, auth, key))
	{
		this->keys[this->count++] = made;
	}
	else
	{
		made->keymat.destroy(&made->keymat);
	}
	key->destroy(key);
	return TRUE;
}

METHOD(keymat_v1_t, derive_ike_keys, bool,
	private_trial_t *this, proposal_t *proposal, key_exchange_t *dh, chunk_t dh_other, chunk_t nonce_i, chunk_t nonce_r,
	ike_sa_id_t *id, auth_method_t auth, shared_key_t *shared_key)
{
	keymat_v1_t *first = this->keys[0];

	if (!first->derive_ike_keys(first, proposal, dh, dh_other, nonce_i, nonce_r, id, auth, shared_key))
	{
		return FALSE;
	}
	if (!is_psk(auth) || this->initiator)
	{
		this->chosen = first;
		return TRUE;
	}
	this->marks[0] = shared_key ? mark_of(shared_key->get_key(shared_key)) : 0;
	for (size_t i = 1; i < SEKISHO_PSKS_MAX &&
		 derive_another(this, i, proposal, dh, dh_other, nonce_i, nonce_r, id, auth); i++)
	{
	}
	return TRUE;
}

METHOD(keymat_v1_t, derive_child_keys, bool,
	private_trial_t *this, proposal_t *proposal, key_exchange_t *dh, uint32_t spi_i, uint32_t spi_r, chunk_t nonce_i, chunk_t nonce_r,
	chunk_t *encr_i, chunk_t *integ_i, chunk_t *encr_r, chunk_t *integ_r)
{
	keymat_v1_t *one = current(this);
	return one->derive_child_keys(one, proposal, dh, spi_i, spi_r, nonce_i, nonce_r, encr_i, integ_i, encr_r, integ_r);
}

METHOD(keymat_v1_t, create_hasher, bool,
	private_trial_t *this, proposal_t *proposal)
{
	keymat_v1_t *one = current(this);
	return one->create_hasher(one, proposal);
}

METHOD(keymat_v1_t, get_hasher, hasher_t*,
	private_trial_t *this)
{
	keymat_v1_t *one = current(this);
	return one->get_hasher(one);
}

METHOD(keymat_v1_t, get_hash, bool,
	private_trial_t *this, bool initiator, chunk_t dh, chunk_t dh_other, ike_sa_id_t *ike_sa_id, chunk_t sa_i, chunk_t id,
	chunk_t *hash, signature_scheme_t *scheme)
{
	keymat_v1_t *one = current(this);
	return one->get_hash(one, initiator, dh, dh_other, ike_sa_id, sa_i, id, hash, scheme);
}

METHOD(keymat_v1_t, get_hash_phase2, bool,
	private_trial_t *this, message_t *message, chunk_t *hash)
{
	keymat_v1_t *one = current(this);
	return one->get_hash_phase2(one, message, hash);
}

METHOD(keymat_v1_t, get_iv, bool,
	private_trial_t *this, uint32_t mid, chunk_t *iv)
{
	keymat_v1_t *one = current(this);
	return one->get_iv(one, mid, iv);
}

METHOD(keymat_v1_t, update_iv, bool,
	private_trial_t *this, uint32_t mid, chunk_t last_block)
{
	keymat_v1_t *one = current(this);
	return one->update_iv(one, mid, last_block);
}

METHOD(keymat_v1_t, confirm_iv, bool,
	private_trial_t *this, uint32_t mid)
{
	keymat_v1_t *one = current(this);
	return one->confirm_iv(one, mid);
}

METHOD(keymat_t, destroy_, void,
	private_trial_t *this)
{
	for (size_t i = 0; i < this->count; i++)
	{
		this->keys[i]->keymat.destroy(&this->keys[i]->keymat);
	}
	free(this);
}

keymat_t *sekisho_psk_trial_create(bool initiator)
{
	private_trial_t *this;

	INIT(this,
		.public = {
			.keymat = {
				.get_version = _get_version,
				.create_ke = _create_ke,
				.create_nonce_gen = _create_nonce_gen,
				.get_aead = _get_aead,
				.destroy = _destroy_,
			},
			.derive_ike_keys = _derive_ike_keys,
			.derive_child_keys = _derive_child_keys,
			.create_hasher = _create_hasher,
			.get_hasher = _get_hasher,
			.get_hash = _get_hash,
			.get_hash_phase2 = _get_hash_phase2,
			.get_iv = _get_iv,
			.update_iv = _update_iv,
			.confirm_iv = _confirm_iv,
		},
		.aead = {
			.encrypt = trial_encrypt,
			.decrypt = trial_decrypt,
			.get_block_size = trial_block_size,
			.get_icv_size = trial_icv_size,
			.get_iv_size = trial_iv_size,
			.get_iv_gen = trial_iv_gen,
			.get_key_size = trial_key_size,
			.set_key = trial_set_key,
			.destroy = trial_destroy,
		},
		.initiator = initiator,
		.keys = { keymat_v1_create(initiator) },
		.count = 1,
	);
	return &this->public.keymat;
}
