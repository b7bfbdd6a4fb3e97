// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Round robin (net/netfilter/ipvs/ip_vs_rr.c). Table: the destinations, newest first. State: the place after the last
 * one chosen. */
#ifndef BPVS_SCHED_RR_H
#define BPVS_SCHED_RR_H

#include "common.h"

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
	volatile __u64 *state = state_of(service);
	struct rr_walk walk = { .service = service };
	int i;

	if (!state)
		return NO_CHOICE;
	for (i = 0; i < STATE_TRIES; i++) {
		__u64 seen = *state;

		walk.place = seen;
		walk.destination = NO_CHOICE;
		bpf_loop(service->table_size, rr_step, &walk, 0);
		if (walk.destination == NO_CHOICE)
			return NO_CHOICE;
		if (choice->is_trial || __sync_val_compare_and_swap(state, seen, (__u64)walk.place + 1) == seen)
			break;
	}
	choice->place = walk.place;
	return walk.destination;
}

#endif
