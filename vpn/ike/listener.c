// SPDX-License-Identifier: GPL-2.0-or-later
/* What charon's bus tells, turned into events. A hook never returns FALSE: that would unregister it, and peers would then be
 * accepted unasked. Hooks run under the bus' one mutex: nothing here waits. */
#include <bus/listeners/listener.h>
#include <credentials/certificates/x509.h>
#include <encoding/payloads/cp_payload.h>
#include <encoding/payloads/delete_payload.h>
#include <encoding/payloads/notify_payload.h>
#include <encoding/payloads/vendor_id_payload.h>

#include "vpn/ike/internal.h"

static void text_of_id(identification_t *id, char *out, size_t size)
{
	if (!id || id->get_type(id) == ID_ANY)
	{
		*out = '\0';
		return;
	}
	snprintf(out, size, "%Y", id);
}

static void text_of_proposal(proposal_t *proposal, char *out, size_t size)
{
	const char *algorithms;
	char text[128];

	*out = '\0';
	if (proposal)
	{	/* "IKE:AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384" */
		snprintf(text, sizeof(text), "%P", proposal);
		algorithms = strchr(text, ':');
		snprintf(out, size, "%s", algorithms ? algorithms + 1 : text);
	}
}

/** Who a peer that has proven nothing yet says it is by EAP: Windows' IDi is an address. */
static identification_t *claimed_user(ike_sa_t *ike_sa)
{
	enumerator_t *proven = ike_sa->create_auth_cfg_enumerator(ike_sa, FALSE);
	identification_t *user = NULL;
	auth_cfg_t *auth;

	if (!proven->enumerate(proven, &auth))
	{
		auth = ike_sa->get_auth_cfg(ike_sa, FALSE);
		user = auth ? auth->get(auth, AUTH_RULE_EAP_IDENTITY) : NULL;
	}
	proven->destroy(proven);
	return user && user->get_type(user) != ID_ANY ? user : NULL;
}

/** Who the peer is: its EAP identity, else IDi; of a certificate's holder who gave his distinguished name, as Windows does, the first
 * mail address or host name among the certificate's alternative names. */
static identification_t *user_of(ike_sa_t *ike_sa)
{
	identification_t *user = claimed_user(ike_sa) ?: ike_sa->get_other_eap_id(ike_sa), *name, *better = NULL;
	enumerator_t *auths, *names;
	certificate_t *certificate;
	auth_cfg_t *auth;

	if (!user || user->get_type(user) != ID_DER_ASN1_DN)
	{
		return user;
	}
	auths = ike_sa->create_auth_cfg_enumerator(ike_sa, FALSE);
	while (!better && auths->enumerate(auths, &auth))
	{
		certificate = auth->get(auth, AUTH_RULE_SUBJECT_CERT);
		if (!certificate || certificate->get_type(certificate) != CERT_X509)
		{
			continue;
		}
		names = ((x509_t*)certificate)->create_subjectAltName_enumerator((x509_t*)certificate);
		while (!better && names->enumerate(names, &name))
		{
			if (name->get_type(name) == ID_RFC822_ADDR || name->get_type(name) == ID_FQDN)
			{
				better = name;
			}
		}
		names->destroy(names);
	}
	auths->destroy(auths);
	return better ?: user;
}

/** Whether charon has let go of what the peer proved itself by (flush_auth_cfg): who it is the engine knows since then. */
static bool is_flushed(ike_sa_t *ike_sa)
{
	enumerator_t *rounds = ike_sa->create_auth_cfg_enumerator(ike_sa, FALSE);
	auth_cfg_t *auth;
	bool any = rounds->enumerate(rounds, &auth);

	rounds->destroy(rounds);
	return !any && ike_sa->get_version(ike_sa) == IKEV2 && ike_sa->get_statistic(ike_sa, STAT_ESTABLISHED);
}

/** The client's certificate, after it was believed. */
static void text_of_certificate(ike_sa_t *ike_sa, sekisho_description *out)
{
	enumerator_t *auths = ike_sa->create_auth_cfg_enumerator(ike_sa, FALSE);
	certificate_t *certificate;
	auth_cfg_t *auth;

	out->certificate_serial[0] = out->certificate_subject[0] = '\0';
	while (auths->enumerate(auths, &auth))
	{
		certificate = auth->get(auth, AUTH_RULE_SUBJECT_CERT);
		if (certificate && certificate->get_type(certificate) == CERT_X509)
		{
			chunk_t serial = ((x509_t*)certificate)->get_serial((x509_t*)certificate);
			size_t used = 0;

			for (size_t i = 0; i < serial.len && used + 2 < sizeof(out->certificate_serial); i++)
			{
				used += snprintf(out->certificate_serial + used, sizeof(out->certificate_serial) - used, "%02x", serial.ptr[i]);
			}
			text_of_id(certificate->get_subject(certificate), out->certificate_subject, sizeof(out->certificate_subject));
		}
	}
	auths->destroy(auths);
}

void sekisho_describe(ike_sa_t *ike_sa, sekisho_description *out)
{
	ike_sa_id_t *id = ike_sa->get_id(ike_sa);
	enumerator_t *enumerator;
	peer_cfg_t *peer_cfg = ike_sa->get_peer_cfg(ike_sa);
	host_t *vip;

	memset(&out->event, 0, sizeof(out->event));
	text_of_id(ike_sa->get_other_id(ike_sa), out->peer_id, sizeof(out->peer_id));
	text_of_id(is_flushed(ike_sa) ? NULL : user_of(ike_sa), out->user, sizeof(out->user));
	text_of_proposal(ike_sa->get_proposal(ike_sa), out->ike_suite, sizeof(out->ike_suite));
	out->event.ike = ike_sa->get_unique_id(ike_sa);
	out->event.ike_version = ike_sa->get_version(ike_sa) == IKEV1 ? 1 : 2;
	out->event.path = sekisho_path_of(ike_sa->get_my_host(ike_sa), ike_sa->get_other_host(ike_sa));
	out->event.nat = ike_sa->has_condition(ike_sa, COND_NAT_ANY);
	out->event.connection = peer_cfg ? peer_cfg->get_name(peer_cfg) : "";
	out->event.peer_id = out->peer_id;
	out->event.user = out->user;
	out->event.ike_suite = out->ike_suite;
	out->event.esp_suite = "";
	text_of_certificate(ike_sa, out);
	out->event.certificate_serial = out->certificate_serial;
	out->event.certificate_subject = out->certificate_subject;
	out->event.initiator_spi = be64toh(id->get_initiator_spi(id));
	out->event.responder_spi = be64toh(id->get_responder_spi(id));
	out->offered[0] = '\0';
	out->event.offered = out->offered;
	enumerator = ike_sa->create_virtual_ip_enumerator(ike_sa, FALSE);
	while (out->event.leases < countof(out->event.lease) && enumerator->enumerate(enumerator, &vip))
	{
		out->event.lease[out->event.leases++] = sekisho_endpoint_of(vip);
	}
	enumerator->destroy(enumerator);
}

static void report(ike_sa_t *ike_sa, sekisho_event_kind kind)
{
	sekisho_description description;

	sekisho_describe(ike_sa, &description);
	description.event.kind = kind;
	sekisho_ops->event(sekisho_ops->context, &description.event);
}

void sekisho_report_cause(ike_sa_t *ike_sa, sekisho_cause cause)
{
	sekisho_description description;

	if (ike_sa)
	{
		sekisho_describe(ike_sa, &description);
		description.event.kind = SEKISHO_EVENT_CAUSE;
		description.event.cause = cause;
		sekisho_ops->event(sekisho_ops->context, &description.event);
	}
}

/** Each algorithm of `type` that any proposal has, once; what does not fit is left out. */
static size_t add_algorithms(linked_list_t *proposals, transform_type_t type, char *out, size_t size, size_t used)
{
	enumerator_t *all = proposals->create_enumerator(proposals), *one;
	proposal_t *proposal;
	uint16_t algorithm, bits;
	char name[40];

	while (all->enumerate(all, &proposal))
	{
		one = proposal->create_enumerator(proposal, type);
		while (one->enumerate(one, &algorithm, &bits))
		{
			int length = snprintf(name, sizeof(name), " %N", transform_get_enum_names(type), algorithm);
			if (bits && length > 0 && length < sizeof(name))
			{
				length += snprintf(name + length, sizeof(name) - length, "_%u", bits);
			}
			char *found = length > 0 && length < sizeof(name) ? strstr(out, name) : out;
			if (!(found && (found[length] == ' ' || !found[length])) && used + length + 1 < size)
			{
				memcpy(out + used, name, length + 1);
				used += length;
			}
		}
		one->destroy(one);
	}
	all->destroy(all);
	return used;
}

/** Nothing of ours fits: what the peer offered, each algorithm once. */
static void report_mismatch(ike_sa_t *ike_sa, sekisho_cause cause, linked_list_t *proposals)
{
	static const transform_type_t types[] = { ENCRYPTION_ALGORITHM, INTEGRITY_ALGORITHM, PSEUDO_RANDOM_FUNCTION, KEY_EXCHANGE_METHOD };
	sekisho_description description;
	size_t used = 0;

	if (!ike_sa)
	{
		return;
	}
	sekisho_describe(ike_sa, &description);
	for (int i = 0; proposals && i < countof(types); i++)
	{
		used = add_algorithms(proposals, types[i], description.offered, sizeof(description.offered), used);
	}
	description.event.kind = SEKISHO_EVENT_CAUSE;
	description.event.cause = cause;
	sekisho_ops->event(sekisho_ops->context, &description.event);
}

static uint64_t own_spi(ike_sa_t *ike_sa)
{
	ike_sa_id_t *id = ike_sa->get_id(ike_sa);

	return id->is_initiator(id) ? id->get_initiator_spi(id) : id->get_responder_spi(id);
}

static void note_spi(ike_sa_t *ike_sa, uint64_t peer_spi, uint32_t tenant)
{
	if (own_spi(ike_sa))
	{
		sekisho_ops->own_spi(sekisho_ops->context, own_spi(ike_sa), peer_spi, tenant);
	}
}

static uint32_t tenant_of(ike_sa_t *ike_sa)
{
	return sekisho_attachment_of(ike_sa->get_my_host(ike_sa)).tenant;
}

static void take_vendors(message_t *message, sekisho_event *event)
{
	enumerator_t *enumerator = message->create_payload_enumerator(message);
	payload_t *payload;

	while (event->vendors < countof(event->vendor) && enumerator->enumerate(enumerator, &payload))
	{
		payload_type_t type = payload->get_type(payload);
		if (type == PLV2_VENDOR_ID || type == PLV1_VENDOR_ID)
		{
			chunk_t data = ((vendor_id_payload_t*)payload)->get_data((vendor_id_payload_t*)payload);
			event->vendor[event->vendors++] = (sekisho_bytes){ data.ptr, data.len };
		}
	}
	enumerator->destroy(enumerator);
}

/** The first error the peer tells, and why it gives up. */
static void report_errors(ike_sa_t *ike_sa, message_t *message)
{
	enum { ERRORS_END = 16384, MS_STATUS = 12345 };
	enumerator_t *enumerator = message->create_payload_enumerator(message);
	sekisho_description description;
	payload_t *payload;
	bool found = FALSE;

	while (!found && enumerator->enumerate(enumerator, &payload))
	{
		if (payload->get_type(payload) == PLV2_NOTIFY || payload->get_type(payload) == PLV1_NOTIFY)
		{
			notify_payload_t *notify = (notify_payload_t*)payload;
			uint16_t type = notify->get_notify_type(notify);
			chunk_t data = notify->get_notification_data(notify);

			if (type < ERRORS_END)
			{
				found = TRUE;
				sekisho_describe(ike_sa, &description);
				description.event.kind = SEKISHO_EVENT_CAUSE;
				description.event.cause = type == AUTHENTICATION_FAILED ? SEKISHO_CAUSE_PEER_REFUSED_US : SEKISHO_CAUSE_PEER_SAID;
				description.event.peer_notify = type;
				description.event.peer_win32 = type == MS_STATUS && data.len >= 4 ? untoh32(data.ptr) : 0;
				sekisho_ops->event(sekisho_ops->context, &description.event);
			}
		}
	}
	enumerator->destroy(enumerator);
}

/** A request as it came: its hosts, since the IKE_SA may have none yet. */
static void attempt(ike_sa_t *ike_sa, message_t *message)
{
	sekisho_description description;
	host_t *local = message->get_destination(message);

	sekisho_describe(ike_sa, &description);
	description.event.kind = SEKISHO_EVENT_ATTEMPT;
	description.event.path = sekisho_path_of(local, message->get_source(message));
	take_vendors(message, &description.event);
	sekisho_ops->event(sekisho_ops->context, &description.event);
	/* numbers of version 1 do not count requests: its messages are not taken one at a time */
	note_spi(ike_sa, message->get_major_version(message) == IKEV1_MAJOR_VERSION ? 0 : message->get_initiator_spi(message),
			 sekisho_attachment_of(local).tenant);
}

/** What the request lets us see of the client's making. */
static void mark(ike_sa_t *ike_sa, message_t *message)
{
	uint32_t ike = ike_sa->get_unique_id(ike_sa);
	enumerator_t *enumerator = message->create_payload_enumerator(message), *attributes;
	configuration_attribute_t *attribute;
	payload_t *payload;
	chunk_t vendor;

	while (enumerator->enumerate(enumerator, &payload))
	{
		if (payload->get_type(payload) == PLV2_VENDOR_ID || payload->get_type(payload) == PLV1_VENDOR_ID)
		{
			vendor = ((vendor_id_payload_t*)payload)->get_data((vendor_id_payload_t*)payload);
			sekisho_ops->mark(sekisho_ops->context, ike, (sekisho_bytes){ vendor.ptr, vendor.len }, 0);
		}
		else if (payload->get_type(payload) == PLV2_CONFIGURATION)
		{
			attributes = ((cp_payload_t*)payload)->create_attribute_enumerator((cp_payload_t*)payload);
			while (attributes->enumerate(attributes, &attribute))
			{
				sekisho_ops->mark(sekisho_ops->context, ike, (sekisho_bytes){}, attribute->get_type(attribute));
			}
			attributes->destroy(attributes);
		}
	}
	enumerator->destroy(enumerator);
}

static bool says_goodbye(message_t *message)
{
	enumerator_t *enumerator = message->create_payload_enumerator(message);
	payload_t *payload;
	bool found = FALSE;

	while (enumerator->enumerate(enumerator, &payload))
	{
		if (payload->get_type(payload) == PLV2_DELETE || payload->get_type(payload) == PLV1_DELETE)
		{
			delete_payload_t *deletion = (delete_payload_t*)payload;
			found = found || deletion->get_protocol_id(deletion) == PROTO_IKE;
		}
	}
	enumerator->destroy(enumerator);
	return found;
}

/** No alert says that nothing of ours fits an offer of version 1: what we answer does. */
static void report_refusal_v1(ike_sa_t *ike_sa, message_t *message)
{
	enumerator_t *enumerator = message->create_payload_enumerator(message);
	payload_t *payload;

	while (enumerator->enumerate(enumerator, &payload))
	{
		notify_payload_t *notify = (notify_payload_t*)payload;
		if (payload->get_type(payload) == PLV1_NOTIFY && notify->get_notify_type(notify) == NO_PROPOSAL_CHOSEN)
		{
			sekisho_report_cause(ike_sa, ike_sa->get_state(ike_sa) == IKE_ESTABLISHED ? SEKISHO_CAUSE_CHILD_PROPOSAL : SEKISHO_CAUSE_IKE_PROPOSAL);
		}
	}
	enumerator->destroy(enumerator);
}

/** Main mode: the first message begins, the next with our cookie in it proves the peer's address. */
static void on_message_v1(ike_sa_t *ike_sa, message_t *message, bool incoming, bool plain)
{
	exchange_type_t exchange = message->get_exchange_type(message);

	if (incoming && exchange == ID_PROT && !message->get_responder_spi(message))
	{
		attempt(ike_sa, message);
		mark(ike_sa, message);
	}
	else if (incoming && plain && exchange == ID_PROT)
	{
		report(ike_sa, SEKISHO_EVENT_AUTH_BEGUN);
	}
	else if (!incoming && plain && exchange == INFORMATIONAL_V1)
	{
		report_refusal_v1(ike_sa, message);
	}
	else if (incoming && plain && exchange == INFORMATIONAL_V1)
	{
		report_errors(ike_sa, message);
		if (says_goodbye(message))
		{
			sekisho_report_cause(ike_sa, SEKISHO_CAUSE_PEER_DELETED);
		}
	}
}

static bool on_message(listener_t *this, ike_sa_t *ike_sa, message_t *message, bool incoming, bool plain)
{
	exchange_type_t exchange = message->get_exchange_type(message);

	if (!ike_sa)
	{
		return TRUE;
	}
	if (message->get_major_version(message) == IKEV1_MAJOR_VERSION)
	{
		on_message_v1(ike_sa, message, incoming, plain);
		return TRUE;
	}
	if (incoming && exchange == IKE_SA_INIT && message->get_request(message))
	{	/* once before its payloads are read, which may fail, and once behind */
		attempt(ike_sa, message);
		mark(ike_sa, message);
	}
	else if (incoming && plain && exchange == IKE_AUTH && message->get_request(message))
	{
		mark(ike_sa, message);
		report(ike_sa, SEKISHO_EVENT_AUTH_BEGUN);
		report_errors(ike_sa, message);
		if (message->get_payload(message, PLV2_AUTH) && !message->get_notify(message, PPK_IDENTITY) &&
			sekisho_ppk_wanted() == SEKISHO_PPK_REQUIRED)
		{
			sekisho_report_cause(ike_sa, SEKISHO_CAUSE_PPK);
		}
	}
	else if (incoming && plain && exchange == INFORMATIONAL && message->get_request(message))
	{
		report_errors(ike_sa, message);
		if (says_goodbye(message))
		{
			sekisho_report_cause(ike_sa, SEKISHO_CAUSE_PEER_DELETED);
		}
	}
	else if (!incoming && plain && exchange == IKE_SA_INIT && message->get_notify(message, INVALID_KE_PAYLOAD))
	{
		report(ike_sa, SEKISHO_EVENT_RETRY);
	}
	return TRUE;
}

static bool on_alert(listener_t *this, ike_sa_t *ike_sa, alert_t alert, va_list args)
{
	static const struct {
		alert_t alert;
		sekisho_cause cause;
	} causes[] = {
		{ ALERT_TS_MISMATCH, SEKISHO_CAUSE_SELECTORS },
		{ ALERT_PEER_AUTH_FAILED, SEKISHO_CAUSE_PEER_AUTH },
		{ ALERT_LOCAL_AUTH_FAILED, SEKISHO_CAUSE_LOCAL_AUTH },
		{ ALERT_VIP_FAILURE, SEKISHO_CAUSE_NO_ADDRESS },
		{ ALERT_RETRANSMIT_SEND_TIMEOUT, SEKISHO_CAUSE_TIMEOUT },
		{ ALERT_HALF_OPEN_TIMEOUT, SEKISHO_CAUSE_TIMEOUT },
		{ ALERT_IKE_SA_EXPIRED, SEKISHO_CAUSE_LIFETIME },
		{ ALERT_CERT_EXPIRED, SEKISHO_CAUSE_CERT_EXPIRED },
		{ ALERT_CERT_REVOKED, SEKISHO_CAUSE_CERT_REVOKED },
		{ ALERT_CERT_NO_ISSUER, SEKISHO_CAUSE_CERT_UNTRUSTED },
		{ ALERT_CERT_UNTRUSTED_ROOT, SEKISHO_CAUSE_CERT_UNTRUSTED },
		{ ALERT_CERT_EXCEEDED_PATH_LEN, SEKISHO_CAUSE_CERT_UNTRUSTED },
		{ ALERT_CERT_POLICY_VIOLATION, SEKISHO_CAUSE_CERT_UNTRUSTED },
		{ ALERT_INSTALL_CHILD_SA_FAILED, SEKISHO_CAUSE_INSTALL },
	};

	if (alert == ALERT_PROPOSAL_MISMATCH_IKE || alert == ALERT_PROPOSAL_MISMATCH_CHILD)
	{
		report_mismatch(ike_sa, alert == ALERT_PROPOSAL_MISMATCH_IKE ? SEKISHO_CAUSE_IKE_PROPOSAL : SEKISHO_CAUSE_CHILD_PROPOSAL,
						va_arg(args, linked_list_t*));
	}
	for (size_t i = 0; i < countof(causes); i++)
	{
		if (causes[i].alert == alert)
		{
			sekisho_report_cause(ike_sa, causes[i].cause);
		}
	}
	return TRUE;
}

/** What the peer has proven to hold the keys of, round by round. */
typedef struct {
	sekisho_certificate certificates[SEKISHO_CERTIFICATES_MAX];
	chunk_t encodings[SEKISHO_CERTIFICATES_MAX];
	size_t count;
	uint32_t rounds;
} shown_t;

static void take_certificate(shown_t *this, certificate_t *certificate, uint32_t round, bool leaf)
{
	chunk_t *encoding = &this->encodings[this->count];

	if (this->count < countof(this->certificates) && certificate->get_encoding(certificate, CERT_ASN1_DER, encoding))
	{
		this->certificates[this->count++] = (sekisho_certificate){ { encoding->ptr, encoding->len }, round, leaf };
	}
}

static shown_t take_certificates(ike_sa_t *ike_sa)
{
	enumerator_t *rounds = ike_sa->create_auth_cfg_enumerator(ike_sa, FALSE), *rules;
	shown_t out = { .count = 0 };
	auth_rule_t rule;
	auth_cfg_t *auth;
	void *value;

	for (; rounds->enumerate(rounds, &auth); out.rounds++)
	{
		value = auth->get(auth, AUTH_RULE_SUBJECT_CERT);
		if (!value)
		{
			continue;
		}
		take_certificate(&out, value, out.rounds, TRUE);
		rules = auth->create_enumerator(auth);
		while (rules->enumerate(rules, &rule, &value))
		{
			if (rule == AUTH_RULE_IM_CERT)
			{
				take_certificate(&out, value, out.rounds, FALSE);
			}
		}
		rules->destroy(rules);
	}
	rounds->destroy(rounds);
	return out;
}

static void free_certificates(shown_t *this)
{
	while (this->count)
	{
		chunk_free(&this->encodings[--this->count]);
	}
}

static bool on_authorize(listener_t *this, ike_sa_t *ike_sa, bool final, bool *success)
{
	sekisho_description description;
	shown_t shown;
	bool allowed;

	if (!final)
	{	/* the EAP identity is not known before the end */
		return TRUE;
	}
	sekisho_describe(ike_sa, &description);
	shown = take_certificates(ike_sa);
	description.event.certificates = shown.certificates;
	description.event.certificate_count = shown.count;
	description.event.rounds = shown.rounds;
	allowed = sekisho_ops->prove(sekisho_ops->context, &description.event);
	free_certificates(&shown);
	description.event.certificate_count = 0;
	if (allowed)
	{
		report(ike_sa, SEKISHO_EVENT_AUTHENTICATED);
		allowed = sekisho_ops->authorize(sekisho_ops->context, &description.event);
	}
	if (allowed)
	{
		note_spi(ike_sa, 0, tenant_of(ike_sa));
	}
	else
	{
		sekisho_report_cause(ike_sa, SEKISHO_CAUSE_FORBIDDEN);
		*success = FALSE;
	}
	return TRUE;
}

static bool on_assign_vips(listener_t *this, ike_sa_t *ike_sa, bool assign)
{
	if (assign)
	{
		report(ike_sa, SEKISHO_EVENT_ASSIGNED);
	}
	return TRUE;
}

static void add_host(linked_list_t *list, const uint8_t address[4])
{
	chunk_t chunk = chunk_create((u_char*)address, 4);

	list->insert_last(list, traffic_selector_create_from_bytes(0, TS_IPV4_ADDR_RANGE, chunk, 0, chunk, 65535));
}

/** A client that asks by DHCP asks everybody: what is narrowed to the networks behind us would leave its question out. */
static bool on_narrow(listener_t *this, ike_sa_t *ike_sa, child_sa_t *child_sa, narrow_hook_t type, linked_list_t *local,
					  linked_list_t *remote)
{
	static const uint8_t broadcast[4] = { 255, 255, 255, 255 };
	traffic_selector_t *everybody, *first;
	sekisho_habits habits = {};
	bool there = FALSE, ipv4 = FALSE;

	if (type != NARROW_RESPONDER || !ike_sa)
	{
		return TRUE;
	}
	sekisho_ops->habits(sekisho_ops->context, ike_sa->get_unique_id(ike_sa), &habits);
	if (!habits.asks_dhcp)
	{
		return TRUE;
	}
	everybody = traffic_selector_create_from_bytes(0, TS_IPV4_ADDR_RANGE, chunk_create((u_char*)broadcast, 4), 0,
												   chunk_create((u_char*)broadcast, 4), 65535);
	enumerator_t *enumerator = local->create_enumerator(local);
	while (enumerator->enumerate(enumerator, &first))
	{
		ipv4 = ipv4 || first->get_type(first) == TS_IPV4_ADDR_RANGE;
		there = there || everybody->is_contained_in(everybody, first);
	}
	enumerator->destroy(enumerator);
	everybody->destroy(everybody);
	if (ipv4 && !there)
	{
		add_host(local, broadcast);
		add_host(local, habits.dhcp_server);
	}
	return TRUE;
}

static bool on_ike_rekey(listener_t *this, ike_sa_t *old, ike_sa_t *new)
{
	sekisho_description description;

	sekisho_describe(new, &description);
	description.user[0] = '\0';  /* nobody proves himself anew */
	description.event.kind = SEKISHO_EVENT_IKE_REKEYED;
	description.event.ike = old->get_unique_id(old);
	description.event.new_ike = new->get_unique_id(new);
	note_spi(new, 0, tenant_of(new));
	sekisho_ops->event(sekisho_ops->context, &description.event);
	return TRUE;
}

/** IKEv1 has no rekeying of an IKE_SA: the peer begins anew, and its CHILD_SAs move to the new one. */
static bool on_children_migrate(listener_t *this, ike_sa_t *ike_sa, ike_sa_id_t *new, uint32_t unique)
{
	sekisho_description description;

	if (new)
	{	/* told of the old one; the other call, of the new one, says nothing more */
		sekisho_describe(ike_sa, &description);
		description.event.kind = SEKISHO_EVENT_IKE_REKEYED;
		description.event.new_ike = unique;
		sekisho_ops->event(sekisho_ops->context, &description.event);
	}
	return TRUE;
}

static bool on_ike_update(listener_t *this, ike_sa_t *ike_sa, host_t *local, host_t *remote)
{
	sekisho_description description;

	sekisho_describe(ike_sa, &description);
	description.event.kind = SEKISHO_EVENT_MOVED;
	description.event.path = sekisho_path_of(local, remote);
	sekisho_ops->event(sekisho_ops->context, &description.event);
	return TRUE;
}

static void report_child(ike_sa_t *ike_sa, child_sa_t *child_sa, sekisho_event_kind kind)
{
	sekisho_description description;
	char suite[128];

	sekisho_describe(ike_sa, &description);
	text_of_proposal(child_sa->get_proposal(child_sa), suite, sizeof(suite));
	description.event.kind = kind;
	description.event.esp_suite = suite;
	description.event.spi_in = ntohl(child_sa->get_spi(child_sa, TRUE));
	description.event.spi_out = ntohl(child_sa->get_spi(child_sa, FALSE));
	sekisho_ops->event(sekisho_ops->context, &description.event);
}

static bool on_child_updown(listener_t *this, ike_sa_t *ike_sa, child_sa_t *child_sa, bool up)
{
	if (up)
	{
		report_child(ike_sa, child_sa, SEKISHO_EVENT_CHILD_UP);
	}
	return TRUE;
}

static bool on_child_rekey(listener_t *this, ike_sa_t *ike_sa, child_sa_t *old, child_sa_t *new)
{
	report_child(ike_sa, new, SEKISHO_EVENT_CHILD_REKEYED);
	return TRUE;
}

static bool on_ike_state_change(listener_t *this, ike_sa_t *ike_sa, ike_sa_state_t state)
{
	if (state == IKE_DESTROYING)
	{
		report(ike_sa, SEKISHO_EVENT_GONE);
		note_spi(ike_sa, 0, 0);
	}
	return TRUE;
}

static listener_t listener = {
	.message = on_message,
	.alert = on_alert,
	.authorize = on_authorize,
	.assign_vips = on_assign_vips,
	.narrow = on_narrow,
	.ike_rekey = on_ike_rekey,
	.children_migrate = on_children_migrate,
	.ike_update = on_ike_update,
	.child_updown = on_child_updown,
	.child_rekey = on_child_rekey,
	.ike_state_change = on_ike_state_change,
};

bool sekisho_listener_create(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *data)
{
	if (reg)
	{
		charon->bus->add_listener(charon->bus, &listener);
	}
	else
	{
		charon->bus->remove_listener(charon->bus, &listener);
	}
	return TRUE;
}
