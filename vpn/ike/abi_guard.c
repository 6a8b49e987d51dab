// SPDX-License-Identifier: GPL-2.0-or-later
/* The headers come from one package revision, the libraries from another: proof, at build and at start, that both mean the same.
 * A table of methods read with the wrong layout holds pointers that lead out of strongSwan's libraries. */
#define _GNU_SOURCE
#include <dlfcn.h>

#include <config/backend.h>
#include <sa/ikev1/keymat_v1.h>

#include "vpn/ike/internal.h"

/* What we fill in and strongSwan reads: sizes as Debian's 5.9.8 has them on x86-64. */
#define METHODS(type, count) _Static_assert(sizeof(type) == (count) * sizeof(void*), #type " has other methods than 5.9.8's")
METHODS(socket_t, 5);
METHODS(kernel_ipsec_t, 15);
METHODS(kernel_net_t, 11);
METHODS(backend_t, 3);
METHODS(credential_set_t, 5);
METHODS(attribute_provider_t, 3);
METHODS(eap_method_t, 9);
METHODS(listener_t, 20);
METHODS(keymat_v1_t, 14);
METHODS(aead_t, 9);
_Static_assert(offsetof(peer_cfg_t, destroy) == 264, "peer_cfg_t is not that of a build with ME");
_Static_assert(sizeof(struct sockaddr_in) == 16, "the attachment lives in its padding");

static bool leads_into_strongswan(void *method)
{
	Dl_info info;

	return method && dladdr(method, &info) && info.dli_fname && strstr(info.dli_fname, "/ipsec/lib");
}

/** How many of the `count` methods at `table` lead elsewhere. */
static int wrong(const void *table, size_t count)
{
	int found = 0;

	for (size_t i = 0; i < count; i++)
	{
		found += !leads_into_strongswan(((void *const*)table)[i]);
	}
	return found;
}

#define WRONG(object, type) wrong(object, sizeof(type) / sizeof(void*))

bool sekisho_abi_is_right(sekisho_ike_error *error)
{
	void *methods[] = { charon->initialize, charon->start, charon->load_loggers, charon->set_level, charon->set_default_loggers };

	if (!dlsym(RTLD_DEFAULT, "connect_manager_create"))
	{
		sekisho_fail(error, "libcharon was built without mediation (ME): its structures are laid out differently from Debian's 5.9.8");
		return FALSE;
	}
	if (wrong(methods, countof(methods)))
	{	/* these stand behind the members that ME adds: nothing else of daemon_t may be touched before */
		sekisho_fail(error, "daemon_t is laid out differently from the headers this program was built with");
		return FALSE;
	}
	if (WRONG(charon->bus, bus_t) || WRONG(charon->controller, controller_t) || WRONG(charon->kernel, kernel_interface_t) ||
		WRONG(charon->backends, backend_manager_t) || WRONG(charon->attributes, attribute_manager_t) ||
		WRONG(charon->socket, socket_manager_t) || WRONG(lib->plugins, plugin_loader_t) || WRONG(lib->processor, processor_t) ||
		WRONG(lib->scheduler, scheduler_t) || WRONG(lib->credmgr, credential_manager_t) || WRONG(lib->settings, settings_t))
	{
		sekisho_fail(error, "a table of methods of libcharon differs from the headers this program was built with");
		return FALSE;
	}
	return TRUE;
}
