// SPDX-License-Identifier: GPL-2.0-or-later
/* Several EAP methods at one gateway, the server's side: the first one is begun, and a peer that would rather have another says so
 * once (RFC 3748 5.3.1). What was used in the end is noted, so that charon goes on with the configuration of that method and asks
 * for all that it asks for. */
#include <sa/eap/eap_manager.h>
#include <sa/eap/eap_method.h>

#include "vpn/ike/internal.h"

typedef struct private_choice_t private_choice_t;

struct private_choice_t {
	eap_method_t public;
	identification_t *server;
	identification_t *peer;
	eap_method_t *method;
	eap_type_t types[SEKISHO_EAP_METHODS_MAX];
	size_t count;
	/** the peer has answered the first one */
	bool settled;
};

static bool choose(private_choice_t *this, eap_type_t type)
{
	DESTROY_IF(this->method);
	this->method = charon->eap->create_instance(charon->eap, type, 0, EAP_SERVER, this->server, this->peer);
	return this->method != NULL;
}

METHOD(eap_method_t, initiate, status_t,
	private_choice_t *this, eap_payload_t **out)
{
	if (!this->method && (!this->count || !choose(this, this->types[0])))
	{
		return FAILED;
	}
	return this->method->initiate(this->method, out);
}

/** The peer refused the first method: the first of those it names that is ours too. */
static status_t change(private_choice_t *this, eap_payload_t *in, eap_payload_t **out)
{
	enumerator_t *enumerator = in->get_types(in);
	eap_type_t type, found = 0;
	pen_t vendor;

	while (!found && enumerator->enumerate(enumerator, &type, &vendor))
	{
		for (size_t i = 1; i < this->count; i++)
		{
			found = !vendor && this->types[i] == type ? type : found;
		}
	}
	enumerator->destroy(enumerator);
	this->settled = TRUE;
	if (!found || !choose(this, found))
	{
		return FAILED;
	}
	return this->method->initiate(this->method, out);
}

METHOD(eap_method_t, process, status_t,
	private_choice_t *this, eap_payload_t *in, eap_payload_t **out)
{
	pen_t vendor;
	eap_type_t type = in->get_type(in, &vendor);
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	auth_cfg_t *auth;
	status_t status;

	if (!vendor && type == EAP_NAK)
	{
		return this->settled ? FAILED : change(this, in, out);
	}
	this->settled = TRUE;
	status = this->method ? this->method->process(this->method, in, out) : FAILED;
	if (status == SUCCESS && ike_sa)
	{
		auth = ike_sa->get_auth_cfg(ike_sa, FALSE);
		auth->add(auth, AUTH_RULE_EAP_TYPE, this->method->get_type(this->method, &vendor));
	}
	return status;
}

METHOD(eap_method_t, get_type, eap_type_t,
	private_choice_t *this, pen_t *vendor)
{
	if (this->method)
	{
		return this->method->get_type(this->method, vendor);
	}
	*vendor = 0;
	return EAP_DYNAMIC;
}

METHOD(eap_method_t, is_mutual, bool,
	private_choice_t *this)
{
	return this->method && this->method->is_mutual(this->method);
}

METHOD(eap_method_t, get_msk, status_t,
	private_choice_t *this, chunk_t *msk)
{
	return this->method ? this->method->get_msk(this->method, msk) : FAILED;
}

METHOD(eap_method_t, get_identifier, uint8_t,
	private_choice_t *this)
{
	return this->method ? this->method->get_identifier(this->method) : 0;
}

METHOD(eap_method_t, set_identifier, void,
	private_choice_t *this, uint8_t identifier)
{
	if (this->method)
	{
		this->method->set_identifier(this->method, identifier);
	}
}

METHOD(eap_method_t, get_auth, auth_cfg_t*,
	private_choice_t *this)
{
	return this->method && this->method->get_auth ? this->method->get_auth(this->method) : NULL;
}

METHOD(eap_method_t, destroy_, void,
	private_choice_t *this)
{
	DESTROY_IF(this->method);
	this->server->destroy(this->server);
	this->peer->destroy(this->peer);
	free(this);
}

eap_method_t *sekisho_eap_choice_create(identification_t *server, identification_t *peer)
{
	private_choice_t *this;

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
		.server = server->clone(server),
		.peer = peer->clone(peer),
	);
	this->count = sekisho_eap_methods(this->types);
	return &this->public;
}
