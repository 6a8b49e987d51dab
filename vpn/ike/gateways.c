// SPDX-License-Identifier: GPL-2.0-or-later
/* The gateways of all tenants: what charon asks its backend, credential set and attribute provider. Each question is answered
 * from the gateway of the tenant of the IKE_SA the asking thread works on, and from nothing else. */
#include <attributes/attribute_provider.h>
#include <collections/array.h>
#include <collections/hashtable.h>
#include <config/backend.h>
#include <credentials/certificates/x509.h>
#include <credentials/sets/mem_cred.h>
#include <processing/jobs/callback_job.h>
#include <threading/rwlock.h>

#include "vpn/ike/internal.h"

typedef struct {
	configuration_attribute_type_t type;
	chunk_t value;
} attribute_t;

/** Everything of one gateway of a tenant; immutable but for its place in the list, so that a session may keep it while the next one
 * takes its place. */
typedef struct gateway_t gateway_t;

struct gateway_t {
	refcount_t references;
	uint32_t tenant;
	char *name;
	/** the tenant's next one */
	gateway_t *next;
	ike_cfg_t *ike_cfg;
	linked_list_t *peer_cfgs;
	mem_cred_t *credentials;
	/** attribute_t */
	linked_list_t *attributes;
	/** what a peer may choose among, best first */
	eap_type_t eap[SEKISHO_EAP_METHODS_MAX];
	size_t eap_count;
	sekisho_ppk ppk;
};

static hashtable_t *gateways;
static rwlock_t *lock;

static u_int hash(const void *key) { return *(const uint32_t*)key; }
static bool equals(const void *a, const void *b) { return *(const uint32_t*)a == *(const uint32_t*)b; }

static void attribute_destroy(attribute_t *this)
{
	chunk_free(&this->value);
	free(this);
}

static void gateway_put(gateway_t *this)
{
	if (this && ref_put(&this->references))
	{
		DESTROY_IF(this->ike_cfg);
		this->peer_cfgs->destroy_offset(this->peer_cfgs, offsetof(peer_cfg_t, destroy));
		this->attributes->destroy_function(this->attributes, (void*)attribute_destroy);
		this->credentials->destroy(this->credentials);
		free(this->name);
		free(this);
	}
}

/** The gateway of the tenant of `local` that answers there. */
static gateway_t *gateway_get(host_t *local)
{
	uint32_t tenant = local ? sekisho_attachment_of(local).tenant : 0;
	gateway_t *found;

	lock->read_lock(lock);
	found = gateways->get(gateways, &tenant);
	while (found && !found->ike_cfg->match_me(found->ike_cfg, local))
	{
		found = found->next;
	}
	if (found)
	{
		ref_get(&found->references);
	}
	lock->unlock(lock);
	return found;
}

/* --- making one ------------------------------------------------------------------------------------------------------- */

/** Loads one PEM object; NULL and `error` when it is none. */
static void *load(credential_type_t type, int subtype, const char *pem, const char *what, sekisho_ike_error *error)
{
	void *object = lib->creds->create(lib->creds, type, subtype, BUILD_BLOB_PEM, chunk_create((u_char*)pem, strlen(pem)), BUILD_END);

	if (!object)
	{
		sekisho_fail(error, "%s cannot be read", what);
	}
	return object;
}

static bool has_rsa_key(certificate_t *certificate)
{
	public_key_t *key = certificate->get_public_key(certificate);
	bool rsa = key && key->get_type(key) == KEY_RSA;

	DESTROY_IF(key);
	return rsa;
}

/** Whom no request helps to choose gets RSA: iOS configured by hand takes nothing else, and asks for nothing. */
static void offer_rsa_first(auth_cfg_t *auth, linked_list_t *certificates)
{
	certificate_t *certificate;

	for (int rsa = 1; rsa >= 0; rsa--)
	{
		enumerator_t *enumerator = certificates->create_enumerator(certificates);
		while (enumerator->enumerate(enumerator, &certificate))
		{
			if (has_rsa_key(certificate) == rsa)
			{
				auth->add(auth, AUTH_RULE_SUBJECT_CERT, certificate->get_ref(certificate));
			}
		}
		enumerator->destroy(enumerator);
	}
}

/** `into` and `auth` may be NULL; else each certificate is added to them, to `auth` as a CA. The list borrows. */
static bool load_certificates(gateway_t *this, const char *const *list, const char *what, bool ca, bool trusted, linked_list_t *into,
							  auth_cfg_t *auth, sekisho_ike_error *error)
{
	for (; list && *list; list++)
	{
		certificate_t *certificate = load(CRED_CERTIFICATE, CERT_X509, *list, what, error);
		if (!certificate)
		{
			return FALSE;
		}
		if (ca && !(((x509_t*)certificate)->get_flags((x509_t*)certificate) & X509_CA))
		{
			sekisho_fail(error, "%s is not a CA", what);
			certificate->destroy(certificate);
			return FALSE;
		}
		if (into)
		{
			into->insert_last(into, certificate);
		}
		if (auth)
		{
			auth->add(auth, AUTH_RULE_CA_CERT, certificate->get_ref(certificate));
		}
		this->credentials->add_cert(this->credentials, trusted, certificate);
	}
	return TRUE;
}

static bool load_keys(gateway_t *this, const sekisho_ike_gateway *model, sekisho_ike_error *error)
{
	for (const char *const *key = model->keys; key && *key; key++)
	{
		private_key_t *private = load(CRED_PRIVATE_KEY, KEY_ANY, *key, "a private key", error);
		if (!private)
		{
			return FALSE;
		}
		this->credentials->add_key(this->credentials, private);
	}
	return TRUE;
}

/** What runs inside: all networks in tunnels, or L2TP between the two ends (whose NAT may have changed the peer's port). */
static bool add_selectors(child_cfg_t *child, const sekisho_ike_gateway *model, sekisho_ike_error *error)
{
	enum { L2TP = 1701 };

	if (model->l2tp)
	{
		child->add_traffic_selector(child, TRUE, traffic_selector_create_dynamic(IPPROTO_UDP, L2TP, L2TP));
		child->add_traffic_selector(child, FALSE, traffic_selector_create_dynamic(IPPROTO_UDP, 0, 65535));
		return TRUE;
	}
	for (const char *const *text = model->networks; *text; text++)
	{
		traffic_selector_t *ts = traffic_selector_create_from_cidr((char*)*text, 0, 0, 65535);
		if (!ts)
		{
			sekisho_fail(error, "network %s", *text);
			return FALSE;
		}
		child->add_traffic_selector(child, TRUE, ts);
	}
	child->add_traffic_selector(child, FALSE, traffic_selector_create_dynamic(0, 0, 65535));
	return TRUE;
}

static child_cfg_t *make_child(const sekisho_ike_gateway *model, sekisho_ike_error *error)
{
	child_cfg_create_t options = {
		.mode = model->l2tp ? MODE_TRANSPORT : MODE_TUNNEL,
		.lifetime = {
			.time = { .life = model->child_life_seconds, .rekey = model->child_rekey_seconds, .jitter = model->child_rekey_seconds / 10 },
			.bytes = { .life = model->child_life_bytes, .rekey = model->child_rekey_bytes },
		},
		.if_id_in = model->tenant,
		.if_id_out = model->tenant,
	};
	child_cfg_t *child = child_cfg_create("net", &options);

	child->set_replay_window(child, model->replay_window);
	for (const char *const *text = model->esp_proposals; *text; text++)
	{
		proposal_t *proposal = proposal_create_from_string(PROTO_ESP, *text);
		if (!proposal)
		{
			sekisho_fail(error, "ESP proposal %s", *text);
			child->destroy(child);
			return NULL;
		}
		child->add_proposal(child, proposal);
	}
	if (!add_selectors(child, model, error))
	{
		child->destroy(child);
		return NULL;
	}
	return child;
}

static bool make_ike(gateway_t *this, const sekisho_ike_gateway *model, sekisho_ike_error *error)
{
	ike_cfg_create_t options = {
		.version = model->l2tp ? IKEV1 : IKEV2,
		.local = (char*)model->addresses,
		.local_port = IKEV2_UDP_PORT,
		.remote = "%any",
		.remote_port = IKEV2_UDP_PORT,
		.force_encap = model->force_udp_encapsulation,
		.fragmentation = FRAGMENTATION_YES,
		.childless = CHILDLESS_NEVER,
	};

	this->ike_cfg = ike_cfg_create(&options);
	for (const char *const *text = model->ike_proposals; *text; text++)
	{
		proposal_t *proposal = proposal_create_from_string(PROTO_IKE, *text);
		if (!proposal)
		{
			sekisho_fail(error, "IKE proposal %s", *text);
			return FALSE;
		}
		this->ike_cfg->add_proposal(this->ike_cfg, proposal);
	}
	return TRUE;
}

/** One way in: who we are (`local`) and what the peer must show, in one round or two (`second` may be NULL); all adopted. */
static bool add_peer(gateway_t *this, const sekisho_ike_gateway *model, const char *way, auth_cfg_t *local, auth_cfg_t *first,
					 auth_cfg_t *second, sekisho_ike_error *error)
{
	peer_cfg_create_t options = {
		.cert_policy = CERT_ALWAYS_SEND,	/* Apple and Android ask for none and have none */
		.unique = UNIQUE_NEVER,	/* equal names are normal: of other tenants, of a user's other device */
		.keyingtries = 1,
		.rekey_time = model->ike_rekey_seconds,
		.jitter_time = model->ike_rekey_seconds / 10,
		.over_time = max(model->ike_rekey_seconds / 5, 60),
		.dpd = model->dpd_seconds,
		.if_id_in = model->tenant,
		.if_id_out = model->tenant,
		.ppk_id = model->ppk ? identification_create_from_string("%any") : NULL,
		.ppk_required = model->ppk == SEKISHO_PPK_REQUIRED,
	};
	child_cfg_t *child = make_child(model, error);
	auth_cfg_t *rounds[] = { first, second };
	peer_cfg_t *peer;
	char name[160];

	snprintf(name, sizeof(name), "%s %s", model->name, way);
	peer = peer_cfg_create(name, this->ike_cfg->get_ref(this->ike_cfg), &options);
	if (!model->l2tp || !streq(way, "psk"))
	{	/* with a pre-shared key of IKEv1 we are our address: no client knows another name of ours */
		local->add(local, AUTH_RULE_IDENTITY, identification_create_from_string((char*)model->identity));
		local->add(local, AUTH_RULE_IDENTITY_LOOSE, FALSE);
	}
	peer->add_auth_cfg(peer, local, TRUE);
	for (size_t i = 0; i < countof(rounds) && rounds[i]; i++)
	{
		rounds[i]->add(rounds[i], AUTH_RULE_IDENTITY, identification_create_from_string("%any"));
		peer->add_auth_cfg(peer, rounds[i], FALSE);
	}
	if (!child)
	{
		peer->destroy(peer);
		return FALSE;
	}
	peer->add_child_cfg(peer, child);
	if (!model->l2tp)
	{
		peer->add_pool(peer, "lease");
	}
	this->peer_cfgs->insert_last(this->peer_cfgs, peer);
	return TRUE;
}

static auth_cfg_t *auth_of(auth_class_t class)
{
	auth_cfg_t *auth = auth_cfg_create();

	auth->add(auth, AUTH_RULE_AUTH_CLASS, class);
	return auth;
}

static auth_cfg_t *eap_of(eap_type_t type)
{
	auth_cfg_t *auth = auth_of(AUTH_CLASS_EAP);

	auth->add(auth, AUTH_RULE_EAP_TYPE, type);
	auth->add(auth, AUTH_RULE_EAP_IDENTITY, identification_create_from_string("%any"));
	return auth;
}

/** What a certificate must be that one of `cas` vouches for, added to `auth`. Revocation, usage and dates are judged again by whoever
 * is asked to authorize. */
static bool require_certificate(gateway_t *this, const char *const *cas, auth_cfg_t *auth, sekisho_ike_error *error)
{
	auth->add_pubkey_constraints(auth, "rsa-2048-sha256-sha384-sha512-rsa/pss-sha256-sha384-sha512-ecdsa-256-sha256-sha384-sha512", TRUE);
	return load_certificates(this, cas, "a CA of users or devices", TRUE, TRUE, NULL, auth, error);
}

/** What users may show, and in which order it is tried; each alone, and behind a device's certificate when devices have CAs. */
typedef struct {
	const char *way;
	auth_cfg_t *auth;
	/** also behind a device's certificate */
	bool second;
} way_t;

static bool add_ways(gateway_t *this, const sekisho_ike_gateway *model, auth_cfg_t *own, way_t *ways, size_t count,
					 sekisho_ike_error *error)
{
	auth_cfg_t *device = auth_of(AUTH_CLASS_PUBKEY);
	bool devices = model->device_cas && *model->device_cas, done = require_certificate(this, model->device_cas, device, error);

	for (size_t i = 0; done && i < count; i++)
	{
		done = add_peer(this, model, ways[i].way, own->clone(own), ways[i].auth->clone(ways[i].auth), NULL, error);
		if (done && devices && ways[i].second)
		{
			done = add_peer(this, model, ways[i].way, own->clone(own), device->clone(device), ways[i].auth->clone(ways[i].auth), error);
		}
	}
	device->destroy(device);
	return done;
}

/** The EAP methods, and in front of several the choice among them: a way that no peer can have gone in the end (nobody is in its
 * group), so that charon looks for the one of the method that was used. */
static size_t eap_ways(gateway_t *this, const sekisho_ike_gateway *model, auth_cfg_t *tls, way_t *ways)
{
	size_t count = 0;

	if (model->accept_eap_mschapv2)
	{
		this->eap[this->eap_count++] = EAP_MSCHAPV2;
	}
	if (model->accept_eap_tls)
	{
		this->eap[this->eap_count++] = EAP_TLS;
	}
	if (this->eap_count > 1)
	{
		ways[count] = (way_t){ "eap", eap_of(EAP_DYNAMIC), TRUE };
		ways[count].auth->add(ways[count].auth, AUTH_RULE_GROUP, identification_create_from_string("a method that was chosen"));
		count++;
	}
	if (model->accept_eap_mschapv2)
	{
		ways[count++] = (way_t){ "eap-mschapv2", eap_of(EAP_MSCHAPV2), TRUE };
	}
	if (model->accept_eap_tls)
	{
		ways[count++] = (way_t){ "eap-tls", tls->clone(tls), TRUE };
	}
	return count;
}

static bool add_peers(gateway_t *this, const sekisho_ike_gateway *model, sekisho_ike_error *error)
{
	auth_cfg_t *own = auth_of(AUTH_CLASS_PUBKEY), *users = auth_of(AUTH_CLASS_PUBKEY), *tls = eap_of(EAP_TLS);
	linked_list_t *certificates = linked_list_create();
	bool done = load_certificates(this, model->certificates, "a certificate of the gateway", FALSE, TRUE, certificates, NULL, error) &&
				load_certificates(this, model->gateway_cas, "an issuer of the gateway's certificate", TRUE, TRUE, NULL, NULL, error) &&
				require_certificate(this, model->client_cas, users, error) && require_certificate(this, model->client_cas, tls, error);
	way_t ways[5];
	size_t count = 0;

	offer_rsa_first(own, certificates);
	certificates->destroy(certificates);

	if (done && model->accept_certificate && model->client_cas && *model->client_cas)
	{
		ways[count++] = (way_t){ "certificate", users->clone(users), FALSE };
	}
	if (done)
	{
		if (model->accept_eap_radius)
		{	/* one way in for the servers and for passwords: nobody says whom he wants to be judged by before he has said his name */
			ways[count++] = (way_t){ "eap-radius", eap_of(EAP_RADIUS), TRUE };
		}
		else
		{
			count += eap_ways(this, model, tls, ways + count);
		}
		done = add_ways(this, model, own, ways, count, error);
	}
	if (done && model->accept_psk)
	{
		done = add_peer(this, model, "psk", auth_of(AUTH_CLASS_PSK), auth_of(AUTH_CLASS_PSK), NULL, error);
	}
	for (size_t i = 0; i < count; i++)
	{
		ways[i].auth->destroy(ways[i].auth);
	}
	tls->destroy(tls);
	users->destroy(users);
	own->destroy(own);
	return done;
}

size_t sekisho_eap_methods(eap_type_t types[SEKISHO_EAP_METHODS_MAX])
{
	gateway_t *gateway = gateway_get(sekisho_current_local());
	size_t count = 0;

	for (; gateway && count < gateway->eap_count; count++)
	{
		types[count] = gateway->eap[count];
	}
	gateway_put(gateway);
	return count;
}

sekisho_ppk sekisho_ppk_wanted(void)
{
	gateway_t *gateway = gateway_get(sekisho_current_local());
	sekisho_ppk wanted = gateway ? gateway->ppk : SEKISHO_PPK_NONE;

	gateway_put(gateway);
	return wanted;
}

static void add_attribute(gateway_t *this, configuration_attribute_type_t type, chunk_t value)
{
	attribute_t *attribute;

	INIT(attribute, .type = type, .value = chunk_clone(value));
	this->attributes->insert_last(this->attributes, attribute);
}

static bool add_attributes(gateway_t *this, const sekisho_ike_gateway *model, sekisho_ike_error *error)
{
	for (const char *const *text = model->dns; text && *text; text++)
	{
		host_t *server = host_create_from_string((char*)*text, 0);
		if (!server)
		{
			sekisho_fail(error, "DNS server %s", *text);
			return FALSE;
		}
		add_attribute(this, server->get_family(server) == AF_INET6 ? INTERNAL_IP6_DNS : INTERNAL_IP4_DNS, server->get_address(server));
		server->destroy(server);
	}
	for (const char *const *text = model->dns_domains; text && *text; text++)
	{
		add_attribute(this, INTERNAL_DNS_DOMAIN, chunk_create((u_char*)*text, strlen(*text)));
	}
	return TRUE;
}

static job_requeue_t flush_chains(void *unused)
{
	lib->credmgr->flush_cache(lib->credmgr, CERT_ANY);
	return JOB_REQUEUE_NONE;
}

/** Signatures that were found good are looked at anew. By a thread of charon's: one that waits for a responder may hold an entry. */
static void forget_chains(void)
{
	lib->processor->queue_job(lib->processor, (job_t*)callback_job_create_with_prio(flush_chains, NULL, NULL, NULL, JOB_PRIO_HIGH));
}

/** Takes one out of its tenant's list; NULL when it is not there. */
static gateway_t *unlink_gateway(uint32_t tenant, const char *name)
{
	gateway_t *first = gateways->remove(gateways, &tenant), **link = &first, *found;

	while (*link && !streq((*link)->name, name))
	{
		link = &(*link)->next;
	}
	found = *link;
	if (found)
	{
		*link = found->next;
	}
	if (first)
	{	/* the table's key lies in the first */
		gateways->put(gateways, &first->tenant, first);
	}
	return found;
}

bool sekisho_ike_set_gateway(const sekisho_ike_gateway *model, sekisho_ike_error *error)
{
	gateway_t *this, *old;

	if (!model->tenant)
	{
		sekisho_fail(error, "no tenant");
		return FALSE;
	}
	INIT(this,
		.references = 1,
		.tenant = model->tenant,
		.name = strdup(model->name),
		.peer_cfgs = linked_list_create(),
		.credentials = mem_cred_create(),
		.attributes = linked_list_create(),
		.ppk = model->ppk,
	);
	if (!make_ike(this, model, error) || !load_keys(this, model, error) || !add_peers(this, model, error) ||
		!add_attributes(this, model, error))
	{
		gateway_put(this);
		return FALSE;
	}
	lock->write_lock(lock);
	old = unlink_gateway(this->tenant, this->name);
	this->next = gateways->remove(gateways, &this->tenant);
	gateways->put(gateways, &this->tenant, this);
	lock->unlock(lock);
	gateway_put(old);
	forget_chains();
	return TRUE;
}

void sekisho_ike_remove_gateway(uint32_t tenant, const char *name)
{
	gateway_t *old;

	lock->write_lock(lock);
	old = unlink_gateway(tenant, name);
	lock->unlock(lock);
	gateway_put(old);
	forget_chains();
}

/* --- what charon asks ------------------------------------------------------------------------------------------------- */

static enumerator_t* create_ike_cfg_enumerator(backend_t *this, host_t *me, host_t *other)
{
	gateway_t *gateway = gateway_get(me ?: sekisho_current_local());
	enumerator_t *enumerator;

	if (!gateway)
	{
		sekisho_report_cause(charon->bus->get_sa(charon->bus), SEKISHO_CAUSE_NO_GATEWAY);
		return enumerator_create_empty();
	}
	enumerator = enumerator_create_single(gateway->ike_cfg, NULL);
	return enumerator_create_cleaner(enumerator, (void*)gateway_put, gateway);
}

static enumerator_t* create_peer_cfg_enumerator(backend_t *this, identification_t *me, identification_t *other)
{
	gateway_t *gateway = gateway_get(sekisho_current_local());

	if (!gateway)
	{
		return enumerator_create_empty();
	}
	return enumerator_create_cleaner(gateway->peer_cfgs->create_enumerator(gateway->peer_cfgs), (void*)gateway_put, gateway);
}

static peer_cfg_t* get_peer_cfg_by_name(backend_t *this, char *name)
{
	return NULL;
}

static enumerator_t* create_private_enumerator(credential_set_t *this, key_type_t type, identification_t *id)
{
	gateway_t *gateway = gateway_get(sekisho_current_local());

	if (!gateway)
	{
		return NULL;
	}
	return enumerator_create_cleaner(gateway->credentials->set.create_private_enumerator(&gateway->credentials->set, type, id),
									 (void*)gateway_put, gateway);
}

static enumerator_t* create_cert_enumerator(credential_set_t *this, certificate_type_t cert, key_type_t key, identification_t *id,
											bool trusted)
{
	gateway_t *gateway = gateway_get(sekisho_current_local());

	if (!gateway)
	{
		return NULL;
	}
	return enumerator_create_cleaner(
		gateway->credentials->set.create_cert_enumerator(&gateway->credentials->set, cert, key, id, trusted), (void*)gateway_put, gateway);
}

typedef struct {
	enumerator_t public;
	shared_key_t *key;
	bool done;
} shared_enumerator_t;

METHOD(enumerator_t, shared_enumerate, bool,
	shared_enumerator_t *this, va_list args)
{
	shared_key_t **key;
	id_match_t *me, *other;

	VA_ARGS_VGET(args, key, me, other);
	if (this->done)
	{
		return FALSE;
	}
	this->done = TRUE;
	*key = this->key;
	if (me)
	{
		*me = ID_MATCH_PERFECT;
	}
	if (other)
	{
		*other = ID_MATCH_PERFECT;
	}
	return TRUE;
}

METHOD(enumerator_t, shared_destroy, void,
	shared_enumerator_t *this)
{
	this->key->destroy(this->key);
	free(this);
}

/** The secret charon asks for, in `out`; 0 when there is none. */
static size_t find_secret(shared_key_type_t type, identification_t *me, identification_t *other, uint8_t *out, size_t capacity)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	sekisho_path path = sekisho_current_path();
	char name[256];

	if (type == SHARED_IKE && ike_sa && ike_sa->get_version(ike_sa) == IKEV1)
	{	/* the likeliest; psk_trial.c asks for the others */
		return sekisho_ops->peer_psk(sekisho_ops->context, &path, 0, out, capacity);
	}
	if (type == SHARED_IKE && other)
	{
		snprintf(name, sizeof(name), "%Y", other);
		return sekisho_ops->secret(sekisho_ops->context, &path, SEKISHO_SECRET_PSK, name, out, capacity);
	}
	if (type == SHARED_PPK && me && ike_sa)
	{
		sekisho_description description;
		sekisho_describe(ike_sa, &description);
		snprintf(name, sizeof(name), "%Y", me);
		return sekisho_ops->ppk(sekisho_ops->context, &description.event, name, out, capacity);
	}
	return 0;
}

static enumerator_t* create_shared_enumerator(credential_set_t *this, shared_key_type_t type, identification_t *me, identification_t *other)
{
	shared_enumerator_t *enumerator;
	uint8_t secret[256];
	size_t size = find_secret(type, me, other, secret, sizeof(secret));
	/* in IKE_SA_INIT charon asks whether there is any key at all, before it knows which */
	bool any = type == SHARED_PPK && !me && sekisho_ppk_wanted() != SEKISHO_PPK_NONE;

	if (!size && !any)
	{
		return NULL;
	}
	INIT(enumerator,
		.public = {
			.enumerate = enumerator_enumerate_default,
			.venumerate = _shared_enumerate,
			.destroy = _shared_destroy,
		},
		.key = shared_key_create(type, chunk_clone(chunk_create(secret, size))),
	);
	memwipe(secret, sizeof(secret));
	return &enumerator->public;
}

static host_t* acquire_address(attribute_provider_t *this, linked_list_t *pools, ike_sa_t *ike_sa, host_t *requested)
{
	sekisho_description description;
	sekisho_endpoint address = {};

	sekisho_describe(ike_sa, &description);
	if (!sekisho_ops->lease(sekisho_ops->context, &description.event, requested->get_family(requested) == AF_INET6 ? 6 : 4, &address))
	{
		return NULL;
	}
	return sekisho_host(&address, NULL);
}

static bool release_address(attribute_provider_t *this, linked_list_t *pools, host_t *address, ike_sa_t *ike_sa)
{
	sekisho_description description;
	sekisho_endpoint endpoint = sekisho_endpoint_of(address);

	sekisho_describe(ike_sa, &description);
	sekisho_ops->release(sekisho_ops->context, &description.event, &endpoint);
	return TRUE;
}

CALLBACK(attribute_filter, bool,
	void *unused, enumerator_t *orig, va_list args)
{
	configuration_attribute_type_t *type;
	attribute_t *attribute;
	chunk_t *value;

	VA_ARGS_VGET(args, type, value);
	if (!orig->enumerate(orig, &attribute))
	{
		return FALSE;
	}
	*type = attribute->type;
	*value = attribute->value;
	return TRUE;
}

static enumerator_t* create_attribute_enumerator(attribute_provider_t *this, linked_list_t *pools, ike_sa_t *ike_sa, linked_list_t *vips)
{
	gateway_t *gateway = gateway_get(sekisho_current_local());

	if (!gateway)
	{
		return enumerator_create_empty();
	}
	return enumerator_create_cleaner(
		enumerator_create_filter(gateway->attributes->create_enumerator(gateway->attributes), attribute_filter, NULL, NULL),
		(void*)gateway_put, gateway);
}

static backend_t backend = {
	.create_ike_cfg_enumerator = create_ike_cfg_enumerator,
	.create_peer_cfg_enumerator = create_peer_cfg_enumerator,
	.get_peer_cfg_by_name = get_peer_cfg_by_name,
};

static credential_set_t credentials = {
	.create_private_enumerator = create_private_enumerator,
	.create_cert_enumerator = create_cert_enumerator,
	.create_shared_enumerator = create_shared_enumerator,
	.create_cdp_enumerator = (void*)return_null,
	.cache_cert = (void*)nop,
};

static attribute_provider_t attributes = {
	.acquire_address = acquire_address,
	.release_address = release_address,
	.create_attribute_enumerator = create_attribute_enumerator,
};

bool sekisho_gateways_register(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *data)
{
	enumerator_t *enumerator;
	gateway_t *gateway;
	void *key;

	if (reg)
	{
		gateways = hashtable_create(hash, equals, 64);
		lock = rwlock_create(RWLOCK_TYPE_DEFAULT);
		charon->backends->add_backend(charon->backends, &backend);
		lib->credmgr->add_set(lib->credmgr, &credentials);
		lib->credmgr->add_validator(lib->credmgr, &sekisho_responder);
		charon->attributes->add_provider(charon->attributes, &attributes);
		return TRUE;
	}
	charon->attributes->remove_provider(charon->attributes, &attributes);
	lib->credmgr->remove_validator(lib->credmgr, &sekisho_responder);
	lib->credmgr->remove_set(lib->credmgr, &credentials);
	charon->backends->remove_backend(charon->backends, &backend);
	enumerator = gateways->create_enumerator(gateways);
	while (enumerator->enumerate(enumerator, &key, &gateway))
	{
		gateways->remove_at(gateways, enumerator);
		for (gateway_t *next; gateway; gateway = next)
		{
			next = gateway->next;
			gateway_put(gateway);
		}
	}
	enumerator->destroy(enumerator);
	gateways->destroy(gateways);
	lock->destroy(lock);
	return TRUE;
}
