// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Source hashing (net/netfilter/ipvs/ip_vs_sh.c). Table: 256 places, each destination as many in a row as its weight.
 */
#ifndef BPVS_SCHED_SH_H
#define BPVS_SCHED_SH_H

#include "common.h"

struct sh_walk {
	const struct service *service;
	__u32 hash;
	__u32 place;
	__u32 destination;
};

/* sh-fallback: from the place of twice the hash upwards. */
static long sh_step(__u64 step, struct sh_walk *walk)
{
	__u32 offset = (step + walk->hash) % HASH_PLACES;

	walk->place = (walk->hash + offset) % HASH_PLACES;
	walk->destination = destination_in(walk->service, walk->place);
	if (is_usable(walk->destination))
		return 1;
	walk->destination = NO_CHOICE;
	return 0;
}

static __always_inline __u32 schedule_sh(const struct service *service, const struct packet *packet,
					 struct choice *choice)
{
	struct sh_walk walk = { .service = service, .hash = hash_address(client_number(service, packet), HASH_BITS) };

	if (service->table_size < HASH_PLACES)
		return NO_CHOICE;
	choice->place = walk.hash;
	walk.destination = destination_in(service, walk.hash);
	if (is_usable(walk.destination))
		return walk.destination;
	if (!(service->scheduler_flags & SCHEDULER_FLAG_1))
		return NO_CHOICE;
	bpf_loop(HASH_PLACES, sh_step, &walk, 0);
	choice->place = walk.place;
	return walk.destination;
}

#endif
