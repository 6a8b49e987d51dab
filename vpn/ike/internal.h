// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

/* What the C files of the shim share. Never included from C++. */

#include <daemon.h>
#include <library.h>

#include <credentials/cert_validator.h>
#include <eap/eap.h>
#include <sa/keymat.h>

#include "vpn/ike/shim.h"

enum { SEKISHO_EAP_METHODS_MAX = 4 };

/** The one table of callbacks; set before charon starts. */
extern const sekisho_ike_ops *sekisho_ops;

/* path.c: strongSwan's objects to plain structs. The attachment travels inside the local host_t: in the eight padding bytes of
 * a sockaddr_in, in flow label and scope of a sockaddr_in6. host_t copies them when it is cloned and compares neither. */
host_t *sekisho_host(const sekisho_endpoint *endpoint, const sekisho_attachment *attachment);
sekisho_endpoint sekisho_endpoint_of(host_t *host);
sekisho_attachment sekisho_attachment_of(host_t *local);
sekisho_path sekisho_path_of(host_t *local, host_t *remote);
size_t sekisho_selectors_of(linked_list_t *list, sekisho_selector *out);
/** The local end and the path of the IKE_SA the calling thread works on; NULL and nobody's when it works on none. */
host_t *sekisho_current_local(void);
sekisho_path sekisho_current_path(void);
void sekisho_fail(sekisho_ike_error *error, const char *format, ...);

/* listener.c */
bool sekisho_listener_create(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *data);
/** Texts a sekisho_event points to. */
typedef struct {
	sekisho_event event;
	char peer_id[256];
	char user[256];
	char ike_suite[128];
	char certificate_serial[48];
	char certificate_subject[256];
	char offered[200];
} sekisho_description;
void sekisho_describe(ike_sa_t *ike_sa, sekisho_description *out);
void sekisho_report_cause(ike_sa_t *ike_sa, sekisho_cause cause);

/* socket.c, kernel_ipsec.c, kernel_net.c, eap_mschapv2.c, eap_radius.c: constructors charon calls */
socket_t *sekisho_socket_create(void);
kernel_ipsec_t *sekisho_kernel_ipsec_create(void);
kernel_net_t *sekisho_kernel_net_create(void);
eap_method_t *sekisho_eap_mschapv2_create(identification_t *server, identification_t *peer);
eap_method_t *sekisho_eap_choice_create(identification_t *server, identification_t *peer);
eap_method_t *sekisho_eap_radius_create(identification_t *server, identification_t *peer);

/* psk_trial.c: the keymat of IKEv1 */
keymat_t *sekisho_psk_trial_create(bool initiator);

/* gateways.c: configurations, credentials and attributes of each tenant */
bool sekisho_gateways_register(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *data);
/** Of the gateway of the IKE_SA at hand: the EAP methods it accepts, best first, and whether it asks for a key of RFC 8784. */
size_t sekisho_eap_methods(eap_type_t types[SEKISHO_EAP_METHODS_MAX]);
sekisho_ppk sekisho_ppk_wanted(void);

/* responder.c: asked of each chain that charon judges */
extern cert_validator_t sekisho_responder;

/* abi_guard.c */
bool sekisho_abi_is_right(sekisho_ike_error *error);
