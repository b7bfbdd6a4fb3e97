// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Maglev hashing (net/netfilter/ipvs/ip_vs_mh.c). Table: 4093 places, or none where no destination ever had a weight.
 */
#ifndef BPVS_SCHED_MH_H
#define BPVS_SCHED_MH_H

#include "../siphash.h"
#include "common.h"

#define MH_PLACES 4093
#define MH_KEY 2654435761U

struct mh_walk {
	const struct service *service;
	__u32 client;
	__u32 hash;
	__u32 place;
	__u32 destination;
};

static __always_inline __u32 mh_place(__u32 number)
{
	return siphash_number(number, MH_KEY) % MH_PLACES;
}

/* mh-fallback: the client's number is added to, from its hash on. */
static long mh_step(__u64 step, struct mh_walk *walk)
{
	__u32 offset = (step + walk->hash) % MH_PLACES;

	walk->place = mh_place(walk->client + offset);
	walk->destination = destination_in(walk->service, walk->place);
	if (is_usable(walk->destination))
		return 1;
	walk->destination = NO_CHOICE;
	return 0;
}

static __always_inline __u32 schedule_mh(const struct service *service, const struct packet *packet,
					 struct choice *choice)
{
	struct mh_walk walk = { .service = service, .client = client_number(service, packet) };

	if (service->table_size < MH_PLACES)
		return NO_CHOICE;
	walk.hash = mh_place(walk.client);
	choice->place = walk.hash;
	walk.destination = destination_in(service, walk.hash);
	if (is_usable(walk.destination))
		return walk.destination;
	if (!(service->scheduler_flags & SCHEDULER_FLAG_1))
		return NO_CHOICE;
	bpf_loop(MH_PLACES, mh_step, &walk, 0);
	choice->place = walk.place;
	return walk.destination;
}

#endif
