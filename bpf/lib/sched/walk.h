// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What sh and mh share: the place that a client is hashed to and, with the fallback flag, others until one will do. */
#ifndef BPVS_SCHED_WALK_H
#define BPVS_SCHED_WALK_H

#include "common.h"

struct walk {
	const struct service *service;
	__u32 client;
	__u32 hash;
	__u32 place;
	__u32 destination;
};

/* A step of bpf_loop, which ends with 1. */
static __always_inline long try_place(struct walk *walk, __u32 place)
{
	walk->place = place;
	walk->destination = destination_in(walk->service, place);
	if (is_usable(walk->destination))
		return 1;
	walk->destination = NO_CHOICE;
	return 0;
}

/* @param step to a further place; there are as many steps as places */
static __always_inline __u32 choose_place(struct walk *walk, struct choice *choice, void *step, __u32 places)
{
	const struct service *service = walk->service;

	if (service->table_size < places)
		return NO_CHOICE;
	if (!try_place(walk, walk->hash) && service->scheduler_flags & SCHEDULER_FLAG_1)
		bpf_loop(places, step, walk, 0);
	choice->place = walk->place;
	return walk->destination;
}

#endif
