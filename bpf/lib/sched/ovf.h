// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Weighted overflow (net/netfilter/ipvs/ip_vs_ovf.c): the heaviest that does not have more active connections than its
 * weight. */
#ifndef BPVS_SCHED_OVF_H
#define BPVS_SCHED_OVF_H

#include "least.h"

static long ovf_step(__u64 step, struct least_walk *walk)
{
	__u32 index = destination_in(walk->service, step);
	const struct destination *destination = usable_destination(index);
	const struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &index);

	if (!destination || !load)
		return 0;
	if (load->active <= destination->weight)
		weigh_destination(walk, step, index, 1, destination->weight);
	return 0;
}

static __always_inline __u32 schedule_ovf(const struct service *service, const struct packet *packet,
					  struct choice *choice)
{
	return schedule_least(service, choice, ovf_step);
}

#endif
