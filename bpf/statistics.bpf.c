// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs that ipvsadm's commands run, with or without a daemon: they show statistics, zero them, set timeouts. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "lib/maps.h"
#include "lib/totals.h"
#include "lib/traffic.h"

static long flush_connection(__u64 step, void *context)
{
	__u32 index = step;
	struct connection *connection = bpf_map_lookup_elem(&connections, &index);

	if (connection && connection->state != STATE_NONE)
		flush_traffic(connection, index);
	return 0;
}

static long flush_destination(__u64 step, void *context)
{
	struct statistics now;

	carry_destination(step, &now);
	return 0;
}

static __always_inline void flush_all(void)
{
	__u32 zero = 0;
	struct shared *state = bpf_map_lookup_elem(&shared, &zero);

	if (!state)
		return;
	bpf_loop(state->used_connections, flush_connection, &zero, 0);
	bpf_loop(state->used_destinations, flush_destination, &zero, 0);
}

/* Run before a listing: what connections have counted reaches their destinations and services now, not at the next
 * sweep. */
SEC("tc")
int flush(struct __sk_buff *skb)
{
	flush_all();
	return 0;
}

static long zero_destination_of(__u64 step, __u32 *service)
{
	__u32 index = step;
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &index);

	/* The kernel leaves those in the trash, too. */
	if (destination && destination->flags & DESTINATION_AVAILABLE &&
	    (*service == NODE_STATISTICS || *service == destination->service))
		zero_destination(index);
	return 0;
}

static long zero_service(void *map, __u32 *id, struct service_statistics *statistics, void *context)
{
	struct statistics now = statistics->counted;

	set_to_zero(&statistics->estimate, &now);
	return 0;
}

/* The service whose id is cb[0] and its destinations; all of them and the node where it is NODE_STATISTICS. */
SEC("tc")
int zero_statistics(struct __sk_buff *skb)
{
	__u32 zero = 0, id = skb->cb[0];
	struct shared *state = bpf_map_lookup_elem(&shared, &zero);
	struct service_statistics *statistics;

	flush_all();
	if (state)
		bpf_loop(state->used_destinations, zero_destination_of, &id, 0);
	if (id == NODE_STATISTICS) {
		bpf_for_each_map_elem(&service_statistics, zero_service, NULL, 0);
		return 0;
	}
	statistics = bpf_map_lookup_elem(&service_statistics, &id);
	if (statistics)
		zero_service(NULL, &id, statistics, NULL);
	return 0;
}

/* The destination at the index cb[0], which begins anew in another service. */
SEC("tc")
int zero_one(struct __sk_buff *skb)
{
	zero_destination(skb->cb[0]);
	return 0;
}

static __always_inline void set_timeout(__u64 *timeout, __u32 seconds)
{
	if (seconds)
		*timeout = seconds * 1000000000ULL;
}

/* Idle seconds of established TCP, of TCP after a FIN, and of UDP: cb[0] to cb[2]; 0 leaves one as it is. */
SEC("tc")
int set_timeouts(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct settings *settings_entry = bpf_map_lookup_elem(&settings, &zero);

	if (!settings_entry)
		return 0;
	set_timeout(&settings_entry->timeouts[STATE_ESTABLISHED], skb->cb[0]);
	set_timeout(&settings_entry->timeouts[STATE_FIN_WAIT], skb->cb[1]);
	set_timeout(&settings_entry->timeouts[STATE_UDP], skb->cb[2]);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
