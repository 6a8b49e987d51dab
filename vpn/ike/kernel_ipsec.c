// SPDX-License-Identifier: GPL-2.0-or-later
/* charon's IPsec stack: SAs go to the sink behind sekisho_ops. Selectors travel with each SA, so policies say nothing new.
 * An SA never leaves the tenant it was installed for. Limits by time are counted here; bytes and packets by the sink. */
#include <collections/hashtable.h>
#include <kernel/kernel_ipsec.h>
#include <processing/jobs/callback_job.h>
#include <threading/mutex.h>

#include "vpn/ike/internal.h"

typedef struct private_kernel_t private_kernel_t;

struct private_kernel_t {
	kernel_ipsec_t public;
	/** live inbound SPIs: a timer that fires late must not expire a later SA */
	hashtable_t *live;
	mutex_t *mutex;
};

typedef struct {
	private_kernel_t *kernel;
	uint32_t spi;
	uint64_t generation;
	host_t *dst;
	bool hard;
} expiry_t;

/** What `live` holds for an SPI. */
typedef struct {
	uint32_t spi;
	uint64_t generation;
} live_t;

static u_int hash(const void *key) { return *(const uint32_t*)key; }
static bool equals(const void *a, const void *b) { return *(const uint32_t*)a == *(const uint32_t*)b; }

/** The local end: where an inbound SA leads to, where an outbound one comes from. */
static sekisho_path path_of(host_t *src, host_t *dst, bool inbound)
{
	return inbound ? sekisho_path_of(dst, src) : sekisho_path_of(src, dst);
}

/** charon names an SA by its ends; ours is the one that bears a tenant. */
static bool is_inbound(kernel_ipsec_sa_id_t *id)
{
	return sekisho_attachment_of(id->dst).tenant != 0;
}

METHOD(kernel_ipsec_t, get_features, kernel_feature_t,
	private_kernel_t *this)
{
	return KERNEL_ESP_V3_TFC | KERNEL_NO_POLICY_UPDATES;
}

METHOD(kernel_ipsec_t, get_spi, status_t,
	private_kernel_t *this, host_t *src, host_t *dst, uint8_t protocol, uint32_t *spi)
{
	sekisho_path path = path_of(src, dst, TRUE);
	uint32_t number;

	if (protocol != IPPROTO_ESP || !sekisho_ops->allocate_spi(sekisho_ops->context, &path, &number))
	{
		return FAILED;
	}
	*spi = htonl(number);
	return SUCCESS;
}

METHOD(kernel_ipsec_t, get_cpi, status_t,
	private_kernel_t *this, host_t *src, host_t *dst, uint16_t *cpi)
{
	return FAILED;
}

static void expiry_destroy(expiry_t *this)
{
	this->dst->destroy(this->dst);
	free(this);
}

static job_requeue_t expire(expiry_t *this)
{
	live_t *live;
	bool same;

	this->kernel->mutex->lock(this->kernel->mutex);
	live = this->kernel->live->get(this->kernel->live, &this->spi);
	same = live && live->generation == this->generation;
	this->kernel->mutex->unlock(this->kernel->mutex);
	if (same)
	{
		charon->kernel->expire(charon->kernel, IPPROTO_ESP, this->spi, this->dst, this->hard);
	}
	return JOB_REQUEUE_NONE;
}

static void schedule(private_kernel_t *this, kernel_ipsec_sa_id_t *id, uint64_t generation, uint64_t seconds, bool hard)
{
	expiry_t *expiry;

	if (!seconds)
	{
		return;
	}
	INIT(expiry,
		.kernel = this,
		.spi = id->spi,
		.generation = generation,
		.dst = id->dst->clone(id->dst),
		.hard = hard,
	);
	lib->scheduler->schedule_job(lib->scheduler, (job_t*)callback_job_create((callback_job_cb_t)expire, expiry,
								 (callback_job_cleanup_t)expiry_destroy, NULL), min(seconds, 0x7fffffff));
}

/** Remembers an inbound SA and starts its clocks; one direction is enough, charon ends both. */
static void enliven(private_kernel_t *this, kernel_ipsec_sa_id_t *id, uint64_t rekey_seconds, uint64_t life_seconds)
{
	static uint64_t generations;
	live_t *live, *old;

	INIT(live, .spi = id->spi);
	this->mutex->lock(this->mutex);
	live->generation = ++generations;
	old = this->live->put(this->live, &live->spi, live);
	this->mutex->unlock(this->mutex);
	free(old);
	schedule(this, id, live->generation, rekey_seconds, FALSE);
	schedule(this, id, live->generation, life_seconds, TRUE);
}

/** Of the thread's newest inbound SA. */
static __thread uint32_t newest_inbound;

/** The inbound SA of the CHILD_SA whose outbound SPI is `spi`. One that is being made is not in the IKE_SA's list yet; both its
 * directions are then installed one after the other by this thread. */
static uint32_t beside(ike_sa_t *ike_sa, uint32_t spi)
{
	enumerator_t *enumerator = ike_sa->create_child_sa_enumerator(ike_sa);
	child_sa_t *child_sa;
	uint32_t found = newest_inbound;

	while (enumerator->enumerate(enumerator, &child_sa))
	{
		if (child_sa->get_spi(child_sa, FALSE) == spi)
		{
			found = ntohl(child_sa->get_spi(child_sa, TRUE));
		}
	}
	enumerator->destroy(enumerator);
	return found;
}

METHOD(kernel_ipsec_t, add_sa, status_t,
	private_kernel_t *this, kernel_ipsec_sa_id_t *id, kernel_ipsec_add_sa_t *data)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	sekisho_description owner;
	uint64_t rekey_seconds = data->lifetime->time.rekey, life_seconds = data->lifetime->time.life;
	sekisho_habits habits = {};
	linked_list_t *local = data->inbound ? data->dst_ts : data->src_ts;
	linked_list_t *remote = data->inbound ? data->src_ts : data->dst_ts;
	sekisho_sa sa = {
		.path = path_of(id->src, id->dst, data->inbound),
		.spi = ntohl(id->spi),
		.inbound = data->inbound,
		.tunnel = data->mode == MODE_TUNNEL,
		.udp_encapsulation = data->encap,
		.esn = data->esn,
		.encryption = data->enc_alg,
		.integrity = data->int_alg == AUTH_UNDEFINED ? 0 : data->int_alg,
		.encryption_key = { data->enc_key.ptr, data->enc_key.len },
		.integrity_key = { data->int_key.ptr, data->int_key.len },
		.replay_window = data->replay_window,
		.soft_bytes = data->lifetime->bytes.rekey,
		.hard_bytes = data->lifetime->bytes.life,
		.soft_packets = data->lifetime->packets.rekey,
		.hard_packets = data->lifetime->packets.life,
	};

	if (id->proto != IPPROTO_ESP || data->ipcomp != IPCOMP_NONE || !sa.path.attachment.tenant || !ike_sa ||
		(data->mode != MODE_TUNNEL && data->mode != MODE_TRANSPORT))
	{
		return FAILED;
	}
	sa.local_selectors = sekisho_selectors_of(local, sa.local);
	sa.remote_selectors = sekisho_selectors_of(remote, sa.remote);
	if (sa.local_selectors > SEKISHO_SELECTORS_MAX || sa.remote_selectors > SEKISHO_SELECTORS_MAX)
	{
		return FAILED;
	}
	sa.beside_spi = data->inbound ? 0 : beside(ike_sa, id->spi);
	sekisho_describe(ike_sa, &owner);
	sekisho_ops->habits(sekisho_ops->context, owner.event.ike, &habits);
	if (!habits.gateway_rekeys_child)
	{	/* a client that does it by itself, and refuses it from us; what limits bytes stays a limit */
		rekey_seconds = sa.soft_bytes = sa.soft_packets = 0;
		life_seconds = life_seconds ? max(life_seconds, habits.child_life_seconds_min) : 0;
	}
	if (!sekisho_ops->install(sekisho_ops->context, &sa, &owner.event))
	{
		sekisho_report_cause(ike_sa, SEKISHO_CAUSE_INSTALL);
		return FAILED;
	}
	if (data->inbound)
	{
		enliven(this, id, rekey_seconds, life_seconds);
		newest_inbound = sa.spi;
	}
	return SUCCESS;
}

METHOD(kernel_ipsec_t, update_sa, status_t,
	private_kernel_t *this, kernel_ipsec_sa_id_t *id, kernel_ipsec_update_sa_t *data)
{
	bool inbound = is_inbound(id);
	sekisho_path before = path_of(id->src, id->dst, inbound), after = path_of(data->new_src, data->new_dst, inbound);

	if (before.attachment.tenant != after.attachment.tenant ||
		!sekisho_ops->move(sekisho_ops->context, &before, ntohl(id->spi), inbound, &after, data->new_encap))
	{
		return FAILED;
	}
	return SUCCESS;
}

METHOD(kernel_ipsec_t, query_sa, status_t,
	private_kernel_t *this, kernel_ipsec_sa_id_t *id, kernel_ipsec_query_sa_t *data, uint64_t *bytes, uint64_t *packets,
	time_t *time)
{
	sekisho_sa_use use = { .idle_seconds = UINT64_MAX };
	time_t now = time_monotonic(NULL);
	sekisho_path path = path_of(id->src, id->dst, is_inbound(id));

	if (!sekisho_ops->query(sekisho_ops->context, &path, ntohl(id->spi), is_inbound(id), &use))
	{
		return NOT_FOUND;
	}
	if (bytes)
	{
		*bytes = use.bytes;
	}
	if (packets)
	{
		*packets = use.packets;
	}
	if (time)
	{
		*time = use.idle_seconds < (uint64_t)now ? now - (time_t)use.idle_seconds : 0;
	}
	return SUCCESS;
}

METHOD(kernel_ipsec_t, del_sa, status_t,
	private_kernel_t *this, kernel_ipsec_sa_id_t *id, kernel_ipsec_del_sa_t *data)
{
	bool inbound = is_inbound(id);
	sekisho_path path = path_of(id->src, id->dst, inbound);

	if (inbound)
	{
		this->mutex->lock(this->mutex);
		free(this->live->remove(this->live, &id->spi));
		this->mutex->unlock(this->mutex);
	}
	sekisho_ops->remove(sekisho_ops->context, &path, ntohl(id->spi), inbound);
	return SUCCESS;
}

METHOD(kernel_ipsec_t, flush_nothing, status_t,
	private_kernel_t *this)
{
	return SUCCESS;
}

METHOD(kernel_ipsec_t, change_policy, status_t,
	private_kernel_t *this, kernel_ipsec_policy_id_t *id, kernel_ipsec_manage_policy_t *data)
{
	return SUCCESS;
}

METHOD(kernel_ipsec_t, query_policy, status_t,
	private_kernel_t *this, kernel_ipsec_policy_id_t *id, kernel_ipsec_query_policy_t *data, time_t *use_time)
{
	return NOT_SUPPORTED;
}

METHOD(kernel_ipsec_t, bypass_socket, bool,
	private_kernel_t *this, int fd, int family)
{
	return TRUE;
}

METHOD(kernel_ipsec_t, enable_udp_decap, bool,
	private_kernel_t *this, int fd, int family, uint16_t port)
{
	return TRUE;
}

METHOD(kernel_ipsec_t, destroy_, void,
	private_kernel_t *this)
{
	enumerator_t *enumerator = this->live->create_enumerator(this->live);
	live_t *live;
	void *key;

	while (enumerator->enumerate(enumerator, &key, &live))
	{
		this->live->remove_at(this->live, enumerator);
		free(live);
	}
	enumerator->destroy(enumerator);
	this->live->destroy(this->live);
	this->mutex->destroy(this->mutex);
	free(this);
}

kernel_ipsec_t *sekisho_kernel_ipsec_create(void)
{
	private_kernel_t *this;

	INIT(this,
		.public = {
			.get_features = _get_features,
			.get_spi = _get_spi,
			.get_cpi = _get_cpi,
			.add_sa = _add_sa,
			.update_sa = _update_sa,
			.query_sa = _query_sa,
			.del_sa = _del_sa,
			.flush_sas = _flush_nothing,
			.add_policy = _change_policy,
			.query_policy = _query_policy,
			.del_policy = _change_policy,
			.flush_policies = _flush_nothing,
			.bypass_socket = _bypass_socket,
			.enable_udp_decap = _enable_udp_decap,
			.destroy = _destroy_,
		},
		.live = hashtable_create(hash, equals, 64),
		.mutex = mutex_create(MUTEX_TYPE_DEFAULT),
	);
	return &this->public;
}

void sekisho_ike_expire(uint32_t spi, const sekisho_endpoint *local, bool hard)
{
	host_t *dst = sekisho_host(local, NULL);

	charon->kernel->expire(charon->kernel, IPPROTO_ESP, htonl(spi), dst, hard);
	dst->destroy(dst);
}

void sekisho_ike_mapping_changed(uint32_t spi, const sekisho_endpoint *local, const sekisho_endpoint *new_remote)
{
	host_t *dst = sekisho_host(local, NULL), *remote = sekisho_host(new_remote, NULL);

	charon->kernel->mapping(charon->kernel, IPPROTO_ESP, htonl(spi), dst, remote);
	remote->destroy(remote);
	dst->destroy(dst);
}
