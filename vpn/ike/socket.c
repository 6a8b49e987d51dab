// SPDX-License-Identifier: GPL-2.0-or-later
/* charon's socket: datagrams come from a bounded queue that C++ fills, and leave through a callback. There is no kernel socket. */
#include <collections/blocking_queue.h>
#include <network/socket.h>
#include <threading/thread.h>

#include "vpn/ike/internal.h"

/** Datagrams waiting for charon's receiver. A full queue is an overloaded charon: more waiting would only be later. */
#define QUEUE_MAX 4096

/** The queue outlives charon's socket manager, so that a late datagram finds it. */
static blocking_queue_t *queue;
static int queued;

METHOD(socket_t, receive_, status_t,
	socket_t *this, packet_t **packet)
{
	bool old = thread_cancelability(TRUE);

	*packet = queue->dequeue(queue);
	thread_cancelability(old);
	__atomic_fetch_sub(&queued, 1, __ATOMIC_RELAXED);
	return SUCCESS;
}

METHOD(socket_t, send_, status_t,
	socket_t *this, packet_t *packet)
{
	sekisho_path path = sekisho_path_of(packet->get_source(packet), packet->get_destination(packet));
	chunk_t data = packet->get_data(packet);

	sekisho_ops->send(sekisho_ops->context, &path, (sekisho_bytes){ data.ptr, data.len });
	return SUCCESS;
}

METHOD(socket_t, get_port, uint16_t,
	socket_t *this, bool nat_t)
{
	return nat_t ? IKEV2_NATT_PORT : IKEV2_UDP_PORT;
}

METHOD(socket_t, supported_families, socket_family_t,
	socket_t *this)
{
	return SOCKET_FAMILY_BOTH;
}

METHOD(socket_t, destroy_, void,
	socket_t *this)
{
	free(this);
}

socket_t *sekisho_socket_create(void)
{
	socket_t *this;

	if (!queue)
	{
		queue = blocking_queue_create();
	}
	INIT(this,
		.receive = _receive_,
		.send = _send_,
		.get_port = _get_port,
		.supported_families = _supported_families,
		.destroy = _destroy_,
	);
	return this;
}

bool sekisho_ike_receive(const sekisho_path *path, sekisho_bytes payload)
{
	packet_t *packet;

	if (__atomic_add_fetch(&queued, 1, __ATOMIC_RELAXED) > QUEUE_MAX)
	{
		__atomic_fetch_sub(&queued, 1, __ATOMIC_RELAXED);
		return FALSE;
	}
	packet = packet_create();
	packet->set_source(packet, sekisho_host(&path->remote, NULL));
	packet->set_destination(packet, sekisho_host(&path->local, &path->attachment));
	packet->set_data(packet, chunk_clone(chunk_create((u_char*)payload.data, payload.size)));
	queue->enqueue(queue, packet);
	return TRUE;
}
