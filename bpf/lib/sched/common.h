// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What schedulers share. Each is one function
 *     __u32 schedule_NAME(const struct service *, const struct packet *, struct choice *)
 * that sets choice->place and returns an index into destinations, or NO_CHOICE. With choice->is_trial it leaves its
 * state as it is.
 */
#ifndef BPVS_SCHED_COMMON_H
#define BPVS_SCHED_COMMON_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "../hash.h"
#include "../maps.h"
#include "../parse.h"

#define NO_CHOICE 0xffffffffU
#define HASH_BITS 8
#define HASH_PLACES (1 << HASH_BITS)

struct choice {
	__u32 place; /* in the scheduler's table */
	__u8 is_trial;
};

/* The destination in a place of the service's table. */
static __always_inline __u32 destination_in(const struct service *service, __u32 place)
{
	__u32 index = service->table + 1 + place;
	__u32 *destination = bpf_map_lookup_elem(&places, &index);

	return destination ? *destination : NO_CHOICE;
}

/* Whether new connections may go there. */
static __always_inline int is_usable(__u32 index)
{
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &index);

	return destination && destination->weight > 0 && destination->flags & DESTINATION_AVAILABLE;
}

#endif
