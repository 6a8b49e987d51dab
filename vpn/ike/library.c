// SPDX-License-Identifier: GPL-2.0-or-later
/* Start and end of libcharon in this process. */
#include <processing/jobs/callback_job.h>
#include <stdio.h>
#include <threading/thread.h>

#include "vpn/ike/internal.h"

/** Every plugin there is, and no other. openssl holds all ciphers, keys and certificates. No socket, no kernel interface, no
 * fetcher,
 * and no plugin that asks about revocation, since it would fetch: nothing a peer sends makes us open a connection. */
#define PLUGINS_V1 "nonce x509 constraints pem openssl kdf"
#define PLUGINS_V2 PLUGINS_V1 " eap-identity eap-tls"
#define OURS "sekisho"
#define OURS_V2 "sekisho-v2"
/** Of the settings, and of what charon itself registers. */
#define NAME "iked"

static bool library_is_up, charon_is_up;
/** Of the version this process speaks. */
static const char *plugins;
static sekisho_ike_error *early;

static void early_debug(debug_t group, level_t level, char *format, ...)
{
	va_list args;

	if (level <= 0 && early)
	{
		va_start(args, format);
		vsnprintf(early->text, sizeof(early->text), format, args);
		va_end(args);
	}
}

static void log_(logger_t *this, debug_t group, level_t level, int thread, ike_sa_t *ike_sa, const char *message)
{
	char name[32];

	snprintf(name, sizeof(name), "%N", debug_names, group);
	sekisho_ops->log(sekisho_ops->context, level, ike_sa ? ike_sa->get_unique_id(ike_sa) : 0, name, message);
}

static bool verbose;

/** Never more than 1: from 4 on charon writes keys. */
static level_t get_level(logger_t *this, debug_t group)
{
	return verbose ? 1 : 0;
}

static logger_t logger = { .log = log_, .get_level = get_level };

static plugin_feature_t features_v1[] = {
	PLUGIN_CALLBACK(kernel_ipsec_register, sekisho_kernel_ipsec_create),
		PLUGIN_PROVIDE(CUSTOM, "kernel-ipsec"),
	PLUGIN_CALLBACK(kernel_net_register, sekisho_kernel_net_create),
		PLUGIN_PROVIDE(CUSTOM, "kernel-net"),
	PLUGIN_CALLBACK(socket_register, sekisho_socket_create),
		PLUGIN_PROVIDE(CUSTOM, "socket"),
	PLUGIN_CALLBACK(sekisho_gateways_register, NULL),
		PLUGIN_PROVIDE(CUSTOM, "sekisho-gateways"),
	PLUGIN_CALLBACK(sekisho_listener_create, NULL),
		PLUGIN_PROVIDE(CUSTOM, "sekisho-listener"),
};

/** Version 1 leaves people to PPP. */
static plugin_feature_t features_v2[] = {
	PLUGIN_CALLBACK(eap_method_register, sekisho_eap_mschapv2_create),
		PLUGIN_PROVIDE(EAP_SERVER, EAP_MSCHAPV2),
			PLUGIN_DEPENDS(CRYPTER, ENCR_DES_ECB, 8),
			PLUGIN_DEPENDS(HASHER, HASH_MD4),
			PLUGIN_DEPENDS(HASHER, HASH_SHA1),
	PLUGIN_CALLBACK(eap_method_register, sekisho_eap_choice_create),
		PLUGIN_PROVIDE(EAP_SERVER, EAP_DYNAMIC),
	PLUGIN_CALLBACK(eap_method_register, sekisho_eap_radius_create),
		PLUGIN_PROVIDE(EAP_SERVER, EAP_RADIUS),
};

/** Exactly the plugins above are loaded. */
static bool plugins_are_right(sekisho_ike_error *error)
{
	enumerator_t *enumerator = lib->plugins->create_plugin_enumerator(lib->plugins), *names;
	linked_list_t *provided;
	plugin_t *plugin;
	char *name, *strange = NULL;
	int loaded = 0, wanted = 0;

	while (enumerator->enumerate(enumerator, &plugin, &provided))
	{
		char *found = plugin->get_name(plugin);
		bool listed = streq(found, OURS) || streq(found, OURS_V2) || streq(found, NAME) || strpfx(found, "libcharon");
		names = enumerator_create_token(plugins, " ", "");
		while (names->enumerate(names, &name))
		{
			if (streq(name, found))
			{
				listed = TRUE;
				loaded++;
			}
		}
		names->destroy(names);
		strange = listed ? strange : found;
	}
	enumerator->destroy(enumerator);
	names = enumerator_create_token(plugins, " ", "");
	while (names->enumerate(names, &name))
	{
		wanted++;
	}
	names->destroy(names);
	if (strange || loaded != wanted)
	{
		sekisho_fail(error, strange ? "plugin %s is loaded and was not asked for" : "a plugin is missing; wanted: %s", strange ?: plugins);
		return FALSE;
	}
	return TRUE;
}

static void set_options(const sekisho_ike_settings *settings)
{
	char text[1024];

	snprintf(text, sizeof(text),
			 "iked {\n threads = %u\n dos_protection = yes\n block_threshold = %u\n cookie_threshold_ip = %u\n"
			 " half_open_timeout = %u\n retransmit_tries = %u\n retransmit_timeout = %f\n retransmit_base = 1.8\n"
			 " ikesa_table_size = 4096\n ikesa_table_segments = 16\n close_ike_on_child_failure = yes\n"
			 " install_routes = no\n multiple_authentication = yes\n flush_auth_cfg = %s\n"
			 /* of EAP-TLS: forward secrecy, no SHA-1 over a handshake */
			 " tls {\n  version_min = 1.2\n  key_exchange = ecdhe-ecdsa, ecdhe-rsa\n  cipher = aes256gcm, aes128gcm\n }\n"
			 /* what this library does not know of certificates, name constraints too, is judged by certificates.cc */
			 " x509 {\n  enforce_critical = no\n }\n}\n",
			 settings->threads, settings->half_open_per_source, settings->cookie_per_source, settings->half_open_seconds,
			 settings->retransmit_tries, settings->retransmit_timeout,
			 /* certificates and names of who is in; see is_flushed() */
			 settings->ike_version == 1 ? "no" : "yes");
	lib->settings->load_string(lib->settings, text, TRUE);
}

bool sekisho_ike_init(const sekisho_ike_settings *settings, const sekisho_ike_ops *ops, sekisho_ike_error *error)
{
	sekisho_ops = ops;
	early = error;
	sekisho_fail(error, "libstrongswan refuses to start");
	dbg = early_debug;
	library_is_up = TRUE;
	if (!library_init("", NAME))
	{
		return FALSE;
	}
	set_options(settings);
	verbose = settings->verbose;
	charon_is_up = libcharon_init();
	if (!charon_is_up || !sekisho_abi_is_right(error))
	{
		return FALSE;
	}
	early = NULL;
	charon->bus->add_logger(charon->bus, &logger);
	plugins = settings->ike_version == 1 ? PLUGINS_V1 : PLUGINS_V2;
	lib->plugins->add_static_features(lib->plugins, OURS, features_v1, countof(features_v1), TRUE, NULL, NULL);
	if (settings->ike_version != 1)
	{
		lib->plugins->add_static_features(lib->plugins, OURS_V2, features_v2, countof(features_v2), TRUE, NULL, NULL);
	}
	keymat_register_constructor(IKEV1, sekisho_psk_trial_create);
	if (!charon->initialize(charon, (char*)plugins))
	{
		sekisho_fail(error, "libcharon cannot load its plugins: %s", plugins);
		return FALSE;
	}
	return plugins_are_right(error);
}

void sekisho_ike_start(void)
{
	charon->start(charon);
}

void sekisho_ike_stop(void)
{
	if (charon_is_up)
	{
		libcharon_deinit();
	}
	if (library_is_up)
	{
		library_deinit();
	}
	charon_is_up = library_is_up = FALSE;
}

typedef struct {
	uint32_t ike;
} termination_t;

static job_requeue_t terminate(termination_t *this)
{
	ike_sa_t *ike_sa = charon->ike_sa_manager->checkout_by_id(charon->ike_sa_manager, this->ike);

	if (ike_sa)
	{
		sekisho_report_cause(ike_sa, SEKISHO_CAUSE_ADMIN);
		if (ike_sa->delete(ike_sa, FALSE) == DESTROY_ME)
		{
			charon->ike_sa_manager->checkin_and_destroy(charon->ike_sa_manager, ike_sa);
		}
		else
		{
			charon->ike_sa_manager->checkin(charon->ike_sa_manager, ike_sa);
		}
	}
	return JOB_REQUEUE_NONE;
}

void sekisho_ike_terminate(uint32_t ike)
{
	termination_t *termination;

	INIT(termination, .ike = ike);
	lib->processor->queue_job(lib->processor, (job_t*)callback_job_create((callback_job_cb_t)terminate, termination, free, NULL));
}

void sekisho_ike_plugins(char *text, size_t capacity)
{
	snprintf(text, capacity, "%s", plugins);
}
