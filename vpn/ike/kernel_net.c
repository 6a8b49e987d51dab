// SPDX-License-Identifier: GPL-2.0-or-later
/* charon's view of routes and interfaces: every address a datagram was sent to is ours, and routes are the data plane's. */
#include <kernel/kernel_net.h>

#include "vpn/ike/internal.h"

METHOD(kernel_net_t, get_features, kernel_feature_t,
	kernel_net_t *this)
{
	return 0;
}

METHOD(kernel_net_t, get_source_addr, host_t*,
	kernel_net_t *this, host_t *dest, host_t *src)
{
	return src ? src->clone(src) : NULL;
}

METHOD(kernel_net_t, get_nexthop, host_t*,
	kernel_net_t *this, host_t *dest, int prefix, host_t *src, char **iface)
{
	if (iface)
	{
		*iface = NULL;
	}
	return dest->clone(dest);
}

METHOD(kernel_net_t, get_interface, bool,
	kernel_net_t *this, host_t *host, char **name)
{
	if (name)
	{
		*name = strdup("gateway");
	}
	return TRUE;
}

METHOD(kernel_net_t, create_address_enumerator, enumerator_t*,
	kernel_net_t *this, kernel_address_type_t which)
{
	return enumerator_create_empty();
}

METHOD(kernel_net_t, create_local_subnet_enumerator, enumerator_t*,
	kernel_net_t *this)
{
	return enumerator_create_empty();
}

METHOD(kernel_net_t, add_ip, status_t,
	kernel_net_t *this, host_t *virtual_ip, int prefix, char *iface)
{
	return SUCCESS;
}

METHOD(kernel_net_t, del_ip, status_t,
	kernel_net_t *this, host_t *virtual_ip, int prefix, bool wait)
{
	return SUCCESS;
}

METHOD(kernel_net_t, change_route, status_t,
	kernel_net_t *this, chunk_t dst_net, uint8_t prefixlen, host_t *gateway, host_t *src_ip, char *if_name, bool pass)
{
	return SUCCESS;
}

METHOD(kernel_net_t, destroy_, void,
	kernel_net_t *this)
{
	free(this);
}

kernel_net_t *sekisho_kernel_net_create(void)
{
	kernel_net_t *this;

	INIT(this,
		.get_features = _get_features,
		.get_source_addr = _get_source_addr,
		.get_nexthop = _get_nexthop,
		.get_interface = _get_interface,
		.create_address_enumerator = _create_address_enumerator,
		.create_local_subnet_enumerator = _create_local_subnet_enumerator,
		.add_ip = _add_ip,
		.del_ip = _del_ip,
		.add_route = _change_route,
		.del_route = _change_route,
		.destroy = _destroy_,
	);
	return this;
}
