// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the schedulers that look at every destination share: a walk over the list, newest first, for the one that has
 * the least load for its weight. Of equals the first is taken. Table: the destinations, newest first.
 */
#ifndef BPVS_SCHED_LEAST_H
#define BPVS_SCHED_LEAST_H

#include "common.h"

struct least_walk {
	const struct service *service;
	__s64 load; /* of the best so far */
	__s64 weight;
	__u32 place;
	__u32 destination;
	__u8 is_classic;
};

/* Takes the destination in a place of the list. */
static __always_inline void take_destination(struct least_walk *walk, __u32 place, __u32 index, __s64 load,
					     __s64 weight)
{
	walk->load = load;
	walk->weight = weight;
	walk->place = place;
	walk->destination = index;
}

/* Takes it if load / weight is less than that of the best so far. */
static __always_inline void weigh_destination(struct least_walk *walk, __u32 place, __u32 index, __s64 load,
					      __s64 weight)
{
	if (walk->destination == NO_CHOICE || walk->load * weight > load * walk->weight)
		take_destination(walk, place, index, load, weight);
}

static __always_inline int is_classic_profile(void)
{
	__u32 zero = 0;
	const struct settings *entry = bpf_map_lookup_elem(&settings, &zero);

	return entry && entry->ipvs_profile == IPVS_PROFILE_CLASSIC;
}

/* An active connection weighs 256 times an inactive one; recent kernels count it as one of those, too
 * (include/net/ip_vs.h: ip_vs_dest_conn_overhead). 32 bits, as there. */
static __always_inline __s32 overhead_of(const struct destination_load *load, int is_classic)
{
	return (load->active << 8) + load->total - (is_classic ? load->active : 0);
}

/* @param step meets the destination in one place */
static __always_inline __u32 schedule_least(const struct service *service, struct choice *choice,
					    long (*step)(__u64 place, struct least_walk *walk))
{
	struct least_walk walk = { .service = service, .destination = NO_CHOICE, .is_classic = is_classic_profile() };

	bpf_loop(service->table_size, step, &walk, 0);
	choice->place = walk.place;
	return walk.destination;
}

#endif
