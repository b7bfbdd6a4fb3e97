// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Maglev hashing (net/netfilter/ipvs/ip_vs_mh.c). Table: 4093 places, or none where no destination ever had a weight.
 */
#ifndef BPVS_SCHED_MH_H
#define BPVS_SCHED_MH_H

#include "../siphash.h"
#include "walk.h"

#define MH_PLACES 4093
#define MH_KEY 2654435761U

static __always_inline __u32 mh_place(__u32 number)
{
	return siphash_number(number, MH_KEY) % MH_PLACES;
}

/* mh-fallback: the client's number is added to, from its hash on. */
static long mh_step(__u64 step, struct walk *walk)
{
	__u32 offset = (step + walk->hash) % MH_PLACES;

	return try_place(walk, mh_place(walk->client + offset));
}

static __always_inline __u32 schedule_mh(const struct service *service, const struct packet *packet,
					 struct choice *choice)
{
	struct walk walk = { .service = service, .client = client_number(service, packet) };

	walk.hash = mh_place(walk.client);
	return choose_place(&walk, choice, mh_step, MH_PLACES);
}

#endif
