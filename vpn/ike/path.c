// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdarg.h>
#include <stdio.h>

#include "vpn/ike/internal.h"

const sekisho_ike_ops *sekisho_ops;

_Static_assert(sizeof(((struct sockaddr_in *)0)->sin_zero) >= sizeof(sekisho_attachment), "the attachment fits in the padding");

host_t *sekisho_host(const sekisho_endpoint *endpoint, const sekisho_attachment *attachment)
{
	if (endpoint->family == 4)
	{
		struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(endpoint->port) };
		memcpy(&address.sin_addr, endpoint->address, sizeof(address.sin_addr));
		if (attachment)
		{
			memcpy(address.sin_zero, attachment, sizeof(*attachment));
		}
		return host_create_from_sockaddr((sockaddr_t*)&address);
	}
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(endpoint->port) };
	memcpy(&address.sin6_addr, endpoint->address, sizeof(address.sin6_addr));
	if (attachment)
	{
		address.sin6_flowinfo = attachment->tenant;
		address.sin6_scope_id = attachment->port;
	}
	return host_create_from_sockaddr((sockaddr_t*)&address);
}

sekisho_endpoint sekisho_endpoint_of(host_t *host)
{
	sekisho_endpoint endpoint = {};
	chunk_t address = host->get_address(host);

	endpoint.family = host->get_family(host) == AF_INET6 ? 6 : 4;
	endpoint.port = host->get_port(host);
	memcpy(endpoint.address, address.ptr, min(address.len, sizeof(endpoint.address)));
	return endpoint;
}

sekisho_attachment sekisho_attachment_of(host_t *local)
{
	sekisho_attachment attachment = {};
	sockaddr_t *address = local->get_sockaddr(local);

	if (address->sa_family == AF_INET)
	{
		memcpy(&attachment, ((struct sockaddr_in*)address)->sin_zero, sizeof(attachment));
	}
	else if (address->sa_family == AF_INET6)
	{
		attachment.tenant = ((struct sockaddr_in6*)address)->sin6_flowinfo;
		attachment.port = ((struct sockaddr_in6*)address)->sin6_scope_id;
	}
	return attachment;
}

sekisho_path sekisho_path_of(host_t *local, host_t *remote)
{
	return (sekisho_path){
		.attachment = sekisho_attachment_of(local),
		.local = sekisho_endpoint_of(local),
		.remote = sekisho_endpoint_of(remote),
	};
}

size_t sekisho_selectors_of(linked_list_t *list, sekisho_selector *out)
{
	enumerator_t *enumerator = list->create_enumerator(list);
	traffic_selector_t *ts;
	size_t count = 0;

	while (enumerator->enumerate(enumerator, &ts))
	{
		if (count == SEKISHO_SELECTORS_MAX)
		{	/* more than an SA of ours holds: the caller refuses */
			count++;
			break;
		}
		sekisho_selector *selector = &out[count++];
		chunk_t from = ts->get_from_address(ts), to = ts->get_to_address(ts);
		*selector = (sekisho_selector){
			.family = ts->get_type(ts) == TS_IPV6_ADDR_RANGE ? 6 : 4,
			.protocol = ts->get_protocol(ts),
			.port_first = ts->get_from_port(ts),
			.port_last = ts->get_to_port(ts),
		};
		memcpy(selector->first, from.ptr, min(from.len, sizeof(selector->first)));
		memcpy(selector->last, to.ptr, min(to.len, sizeof(selector->last)));
	}
	enumerator->destroy(enumerator);
	return count;
}

host_t *sekisho_current_local(void)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);

	return ike_sa ? ike_sa->get_my_host(ike_sa) : NULL;
}

sekisho_path sekisho_current_path(void)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);

	return ike_sa ? sekisho_path_of(ike_sa->get_my_host(ike_sa), ike_sa->get_other_host(ike_sa)) : (sekisho_path){};
}

void sekisho_fail(sekisho_ike_error *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
}
