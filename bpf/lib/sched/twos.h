// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Power of two choices (net/netfilter/ipvs/ip_vs_twos.c): the less loaded of two that are drawn by weight. */
#ifndef BPVS_SCHED_TWOS_H
#define BPVS_SCHED_TWOS_H

#include "least.h"

struct twos_walk {
	const struct service *service;
	__s64 left; /* of the number drawn, after the weights of the destinations met; before that, the sum of them all
		     */
	__u32 place;
	__u32 destination;
	__s32 weight;
	__s32 overhead;
	__u8 is_classic;
};

static long twos_weigh_step(__u64 step, struct twos_walk *walk)
{
	const struct destination *destination = usable_destination(destination_in(walk->service, step));

	if (destination)
		walk->left += destination->weight;
	return 0;
}

static long twos_draw_step(__u64 step, struct twos_walk *walk)
{
	__u32 index = destination_in(walk->service, step);
	const struct destination *destination = usable_destination(index);
	const struct destination_load *load;

	if (!destination)
		return 0;
	walk->left -= destination->weight;
	if (walk->left > 0)
		return 0;
	load = bpf_map_lookup_elem(&destination_loads, &index);
	if (!load)
		return 0;
	walk->place = step;
	walk->destination = index;
	walk->weight = destination->weight;
	walk->overhead = overhead_of(load, walk->is_classic);
	return 1;
}

/* A number of 0 to total, total included: so the first destination has one more than its weight. */
static __always_inline void twos_draw(struct twos_walk *walk, __u64 total)
{
	walk->left = ((__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32()) % (total + 1);
	walk->destination = NO_CHOICE;
	bpf_loop(walk->service->table_size, twos_draw_step, walk, 0);
}

static __always_inline __u32 schedule_twos(const struct service *service, const struct packet *packet,
					   struct choice *choice)
{
	struct twos_walk walk = { .service = service, .is_classic = is_classic_profile() };
	__u32 first, place;
	__s32 weight, overhead;
	__u64 total;

	bpf_loop(service->table_size, twos_weigh_step, &walk, 0);
	total = walk.left;
	if (!total)
		return NO_CHOICE;
	twos_draw(&walk, total);
	first = walk.destination;
	place = walk.place;
	weight = walk.weight;
	overhead = walk.overhead;
	twos_draw(&walk, total);
	/* In 32 bits, as the kernel. A weight that has become less since they were added up may leave a draw without
	 * any. */
	if (first == NO_CHOICE || (walk.destination != NO_CHOICE &&
				   (__s32)((__u32)walk.weight * overhead) > (__s32)((__u32)weight * walk.overhead))) {
		first = walk.destination;
		place = walk.place;
	}
	choice->place = place;
	return first;
}

#endif
