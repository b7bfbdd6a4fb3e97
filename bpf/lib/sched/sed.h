// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Shortest expected delay (net/netfilter/ipvs/ip_vs_sed.c): the load that it would be with the new connection. */
#ifndef BPVS_SCHED_SED_H
#define BPVS_SCHED_SED_H

#include "least.h"

static long sed_step(__u64 step, struct least_walk *walk)
{
	__u32 index = destination_in(walk->service, step);
	const struct destination *destination = usable_destination(index);
	const struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &index);

	if (!destination || !load)
		return 0;
	weigh_destination(walk, step, index, (__s64)load->active + 1, destination->weight);
	return 0;
}

static __always_inline __u32 schedule_sed(const struct service *service, const struct packet *packet,
					  struct choice *choice)
{
	return schedule_least(service, choice, sed_step);
}

#endif
