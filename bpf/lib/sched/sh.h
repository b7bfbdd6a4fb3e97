// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Source hashing (net/netfilter/ipvs/ip_vs_sh.c). Table: 256 places, each destination as many in a row as its weight.
 */
#ifndef BPVS_SCHED_SH_H
#define BPVS_SCHED_SH_H

#include "walk.h"

/* sh-fallback: from the place of twice the hash upwards. */
static long sh_step(__u64 step, struct walk *walk)
{
	__u32 offset = (step + walk->hash) % HASH_PLACES;

	return try_place(walk, (walk->hash + offset) % HASH_PLACES);
}

static __always_inline __u32 schedule_sh(const struct service *service, const struct packet *packet,
					 struct choice *choice)
{
	struct walk walk = { .service = service, .hash = hash_address(client_number(service, packet), HASH_BITS) };

	return choose_place(&walk, choice, sh_step, HASH_PLACES);
}

#endif
