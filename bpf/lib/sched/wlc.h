// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Weighted least connection (net/netfilter/ipvs/ip_vs_wlc.c). */
#ifndef BPVS_SCHED_WLC_H
#define BPVS_SCHED_WLC_H

#include "least.h"

static long wlc_step(__u64 step, struct least_walk *walk)
{
	__u32 index = destination_in(walk->service, step);
	const struct destination *destination = usable_destination(index);
	const struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &index);

	if (!destination || !load)
		return 0;
	weigh_destination(walk, step, index, overhead_of(load, walk->is_classic), destination->weight);
	return 0;
}

static __always_inline __u32 schedule_wlc(const struct service *service, const struct packet *packet,
					  struct choice *choice)
{
	return schedule_least(service, choice, wlc_step);
}

#endif
