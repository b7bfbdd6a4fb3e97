// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Weighted failover (net/netfilter/ipvs/ip_vs_fo.c): the heaviest. */
#ifndef BPVS_SCHED_FO_H
#define BPVS_SCHED_FO_H

#include "least.h"

static long fo_step(__u64 step, struct least_walk *walk)
{
	__u32 index = destination_in(walk->service, step);
	const struct destination *destination = usable_destination(index);

	if (!destination)
		return 0;
	weigh_destination(walk, step, index, 1, destination->weight);
	return 0;
}

static __always_inline __u32 schedule_fo(const struct service *service, const struct packet *packet,
					 struct choice *choice)
{
	return schedule_least(service, choice, fo_step);
}

#endif
