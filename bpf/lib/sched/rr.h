// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Round robin (net/netfilter/ipvs/ip_vs_rr.c). Table: the destinations, newest first. State: the place after the last
 * one chosen. */
#ifndef BPVS_SCHED_RR_H
#define BPVS_SCHED_RR_H

#include "common.h"

/* How often a CPU that lost the race for the state walks again; then it takes its choice all the same. */
#define RR_TRIES 4

struct rr_walk {
	const struct service *service;
	__u32 place;
	__u32 destination;
};

static long rr_step(__u64 step, struct rr_walk *walk)
{
	if (walk->place >= walk->service->table_size)
		walk->place = 0;
	walk->destination = destination_in(walk->service, walk->place);
	if (is_usable(walk->destination))
		return 1;
	walk->destination = NO_CHOICE;
	walk->place += 1;
	return 0;
}

static __always_inline __u32 schedule_rr(const struct service *service, const struct packet *packet,
					 struct choice *choice)
{
	__u32 table = service->table;
	__u32 *next = bpf_map_lookup_elem(&places, &table);
	struct rr_walk walk = { .service = service };
	int i;

	if (!next)
		return NO_CHOICE;
	for (i = 0; i < RR_TRIES; i++) {
		__u32 seen = *(volatile __u32 *)next;

		walk.place = seen;
		walk.destination = NO_CHOICE;
		bpf_loop(service->table_size, rr_step, &walk, 0);
		if (walk.destination == NO_CHOICE)
			return NO_CHOICE;
		if (choice->is_trial || __sync_val_compare_and_swap(next, seen, walk.place + 1) == seen)
			break;
	}
	choice->place = walk.place;
	return walk.destination;
}

#endif
