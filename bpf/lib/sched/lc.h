// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Least connection (net/netfilter/ipvs/ip_vs_lc.c): weights other than 0 do not matter. */
#ifndef BPVS_SCHED_LC_H
#define BPVS_SCHED_LC_H

#include "least.h"

static long lc_step(__u64 step, struct least_walk *walk)
{
	__u32 index = destination_in(walk->service, step);
	const struct destination *destination = usable_destination(index);
	const struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &index);

	if (!destination || !load)
		return 0;
	weigh_destination(walk, step, index, overhead_of(load, walk->is_classic), 1);
	return 0;
}

static __always_inline __u32 schedule_lc(const struct service *service, const struct packet *packet,
					 struct choice *choice)
{
	return schedule_least(service, choice, lc_step);
}

#endif
