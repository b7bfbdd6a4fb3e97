// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Never queue (net/netfilter/ipvs/ip_vs_nq.c): the first that is idle, else as sed. */
#ifndef BPVS_SCHED_NQ_H
#define BPVS_SCHED_NQ_H

#include "least.h"

static long nq_step(__u64 step, struct least_walk *walk)
{
	__u32 index = destination_in(walk->service, step);
	const struct destination *destination = usable_destination(index);
	const struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &index);

	if (!destination || !load)
		return 0;
	if (!load->active) {
		take_destination(walk, step, index, 1, destination->weight);
		return 1;
	}
	weigh_destination(walk, step, index, (__s64)load->active + 1, destination->weight);
	return 0;
}

static __always_inline __u32 schedule_nq(const struct service *service, const struct packet *packet,
					 struct choice *choice)
{
	return schedule_least(service, choice, nq_step);
}

#endif
