// SPDX-License-Identifier: GPL-2.0-or-later
/* EAP judged by a tenant's own servers: what the peer answers goes to them, what they ask goes to the peer (RFC 3579). Which method
 * they run is between the two; its key comes with their consent. Whom no backend judges, the tenant's directory does: the method
 * of passwords takes this one's place. The thread waits for the server's answer; how many may do so is counted on the other side. */
#include <credentials/auth_cfg.h>
#include <eap/eap.h>
#include <sa/eap/eap_method.h>

#include "vpn/ike/internal.h"

typedef struct private_method_t private_method_t;

struct private_method_t {
	eap_method_t public;
	/** the other side's */
	void *conversation;
	char user[256];
	/** of the server's last request */
	eap_type_t type;
	pen_t vendor;
	uint8_t identifier;
	chunk_t msk;
	/** who the server says it was; empty: as the peer said */
	auth_cfg_t *auth;
};

static void describe_peer(private_method_t *this, ike_sa_t *ike_sa, sekisho_description *out)
{
	sekisho_describe(ike_sa, out);
	out->event.user = this->user;
}

static status_t failed(ike_sa_t *ike_sa, sekisho_relayed_outcome outcome)
{
	static const sekisho_cause causes[] = {
		[SEKISHO_RELAYED_REJECTED] = SEKISHO_CAUSE_PASSWORD,
		[SEKISHO_RELAYED_NOBODY] = SEKISHO_CAUSE_BACKEND_DOWN,
		[SEKISHO_RELAYED_BUSY] = SEKISHO_CAUSE_BACKEND_BUSY,
		[SEKISHO_RELAYED_NO_KEY] = SEKISHO_CAUSE_BACKEND_KEY,
	};

	sekisho_report_cause(ike_sa, causes[outcome]);
	return FAILED;
}

static status_t relay(private_method_t *this, chunk_t in, eap_payload_t **out)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	sekisho_description who;
	sekisho_relayed *answer;
	status_t status;

	if (!ike_sa)
	{
		return FAILED;
	}
	answer = calloc(1, sizeof(*answer));
	describe_peer(this, ike_sa, &who);
	sekisho_ops->relay(sekisho_ops->context, this->conversation, &who.event, (sekisho_bytes){ in.ptr, in.len }, answer);
	switch (answer->outcome)
	{
		case SEKISHO_RELAYED_MORE:
			/* a request, whole: code, identifier, length, type */
			if (answer->size < 5 || answer->eap[0] != EAP_REQUEST || untoh16(answer->eap + 2) != answer->size)
			{
				status = failed(ike_sa, SEKISHO_RELAYED_NOBODY);
				break;
			}
			*out = eap_payload_create_data(chunk_create(answer->eap, answer->size));
			this->type = (*out)->get_type(*out, &this->vendor);
			this->identifier = answer->eap[1];
			status = NEED_MORE;
			break;
		case SEKISHO_RELAYED_ACCEPTED:
			this->msk = chunk_clone(chunk_create(answer->msk, sizeof(answer->msk)));
			if (answer->user[0])
			{
				this->auth->add(this->auth, AUTH_RULE_EAP_IDENTITY, identification_create_from_string(answer->user));
			}
			status = SUCCESS;
			break;
		default:
			status = failed(ike_sa, answer->outcome);
			break;
	}
	memwipe(answer, sizeof(*answer));
	free(answer);
	return status;
}

METHOD(eap_method_t, initiate, status_t,
	private_method_t *this, eap_payload_t **out)
{
	return relay(this, chunk_empty, out);
}

METHOD(eap_method_t, process, status_t,
	private_method_t *this, eap_payload_t *in, eap_payload_t **out)
{
	return relay(this, in->get_data(in), out);
}

METHOD(eap_method_t, get_type, eap_type_t,
	private_method_t *this, pen_t *vendor)
{
	*vendor = this->vendor;
	return this->type;
}

METHOD(eap_method_t, is_mutual, bool,
	private_method_t *this)
{
	return FALSE;
}

METHOD(eap_method_t, get_msk, status_t,
	private_method_t *this, chunk_t *msk)
{
	*msk = this->msk;
	return this->msk.ptr ? SUCCESS : FAILED;
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
	return this->auth;
}

METHOD(eap_method_t, destroy_, void,
	private_method_t *this)
{
	sekisho_ops->forget(sekisho_ops->context, this->conversation);
	chunk_clear(&this->msk);
	this->auth->destroy(this->auth);
	free(this);
}

eap_method_t *sekisho_eap_radius_create(identification_t *server, identification_t *peer)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	sekisho_description who;
	private_method_t *this;

	if (!ike_sa)
	{
		return NULL;
	}
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
		.type = EAP_RADIUS,
		.auth = auth_cfg_create(),
	);
	snprintf(this->user, sizeof(this->user), "%Y", peer);
	describe_peer(this, ike_sa, &who);
	switch (sekisho_ops->judge(sekisho_ops->context, &who.event, &this->conversation))
	{
		case SEKISHO_JUDGE_BACKEND:
			return &this->public;
		case SEKISHO_JUDGE_DIRECTORY:
			destroy_(this);
			return sekisho_eap_mschapv2_create(server, peer);
		default:
			destroy_(this);
			sekisho_report_cause(ike_sa, SEKISHO_CAUSE_PASSWORD);
			return NULL;
	}
}
