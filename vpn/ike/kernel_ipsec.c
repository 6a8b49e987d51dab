// SPDX-License-Identifier: GPL-2.0-or-later
/* charon's IPsec stack: SAs go to the sink behind sekisho_ops. Selectors travel with each SA, so policies say nothing new.
 * An SA never leaves the tenant it was installed for. Limits by time are counted here; bytes and packets by the sink. */
#include <collections/array.h>
#include <collections/hashtable.h>
#include <kernel/kernel_ipsec.h>
#include <processing/jobs/callback_job.h>
#include <threading/mutex.h>

#include "vpn/ike/internal.h"

typedef struct private_kernel_t private_kernel_t;

struct private_kernel_t {
	kernel_ipsec_t public;
	/** sa_clock_t of each live inbound SA by its SPI: one direction is enough, charon ends both */
	hashtable_t *clocks;
	mutex_t *mutex;
};

/** When an inbound SA shall be replaced and when it is used up, in seconds of time_monotonic(); 0: never, or said already. */
typedef struct {
	uint32_t spi;
	sekisho_endpoint local;
	time_t soft, hard;
} sa_clock_t;

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

/** Whether a time has come; it comes once. */
static bool strikes(time_t *when, time_t now)
{
	bool due = *when && *when <= now;

	if (due)
	{
		*when = 0;
	}
	return due;
}

/** Every second: says which SAs have to be replaced or are used up. charon is told without the lock, since it may come back here. */
static job_requeue_t look_at_clocks(private_kernel_t *this)
{
	array_t *soft = array_create(sizeof(sa_clock_t), 0), *hard = array_create(sizeof(sa_clock_t), 0);
	time_t now = time_monotonic(NULL);
	enumerator_t *enumerator;
	sa_clock_t *clock, due;
	void *key;

	this->mutex->lock(this->mutex);
	enumerator = this->clocks->create_enumerator(this->clocks);
	while (enumerator->enumerate(enumerator, &key, &clock))
	{
		if (strikes(&clock->soft, now))
		{
			array_insert(soft, ARRAY_TAIL, clock);
		}
		if (strikes(&clock->hard, now))
		{
			array_insert(hard, ARRAY_TAIL, clock);
		}
	}
	enumerator->destroy(enumerator);
	this->mutex->unlock(this->mutex);
	while (array_remove(soft, ARRAY_TAIL, &due))
	{
		sekisho_ike_expire(ntohl(due.spi), &due.local, FALSE);
	}
	while (array_remove(hard, ARRAY_TAIL, &due))
	{
		sekisho_ike_expire(ntohl(due.spi), &due.local, TRUE);
	}
	array_destroy(soft);
	array_destroy(hard);
	return JOB_RESCHEDULE(1);
}

static void start_clock(private_kernel_t *this, kernel_ipsec_sa_id_t *id, uint64_t rekey_seconds, uint64_t life_seconds)
{
	time_t now = time_monotonic(NULL);
	sa_clock_t *clock;

	INIT(clock,
		.spi = id->spi,
		.local = sekisho_endpoint_of(id->dst),
		.soft = rekey_seconds ? now + min(rekey_seconds, INT32_MAX) : 0,
		.hard = life_seconds ? now + min(life_seconds, INT32_MAX) : 0,
	);
	this->mutex->lock(this->mutex);
	clock = this->clocks->put(this->clocks, &clock->spi, clock);
	this->mutex->unlock(this->mutex);
	free(clock);
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
		start_clock(this, id, rekey_seconds, life_seconds);
		newest_inbound = sa.spi;
	}
	return SUCCESS;
}

METHOD(kernel_ipsec_t, update_sa, status_t,
	private_kernel_t *this, kernel_ipsec_sa_id_t *id, kernel_ipsec_update_sa_t *data)
{
	bool inbound = is_inbound(id);
	sekisho_path before = path_of(id->src, id->dst, inbound), after = path_of(data->new_src, data->new_dst, inbound);
	sa_clock_t *clock;

	if (before.attachment.tenant != after.attachment.tenant ||
		!sekisho_ops->move(sekisho_ops->context, &before, ntohl(id->spi), inbound, &after, data->new_encap))
	{
		return FAILED;
	}
	if (inbound)
	{	/* charon finds an SA by where it leads to now */
		this->mutex->lock(this->mutex);
		clock = this->clocks->get(this->clocks, &id->spi);
		if (clock)
		{
			clock->local = after.local;
		}
		this->mutex->unlock(this->mutex);
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
		free(this->clocks->remove(this->clocks, &id->spi));
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

static void forget_clock(sa_clock_t *clock, const void *key)
{
	free(clock);
}

METHOD(kernel_ipsec_t, destroy_, void,
	private_kernel_t *this)
{
	this->clocks->destroy_function(this->clocks, (void*)forget_clock);
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
		.clocks = hashtable_create(hash, equals, 64),
		.mutex = mutex_create(MUTEX_TYPE_DEFAULT),
	);
	lib->scheduler->schedule_job(lib->scheduler, (job_t*)callback_job_create_with_prio((callback_job_cb_t)look_at_clocks, this, NULL,
								 NULL, JOB_PRIO_HIGH), 1);
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
