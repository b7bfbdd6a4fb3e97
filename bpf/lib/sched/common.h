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
#include "../overload.h"
#include "../parse.h"

#define NO_CHOICE 0xffffffffU
#define HASH_BITS 8
#define HASH_PLACES (1 << HASH_BITS)
/* How often a CPU that lost the race for the state walks again; then it takes its choice all the same. */
#define STATE_TRIES 4

struct choice {
	__u32 place; /* in the scheduler's table */
	__u8 is_trial;
};

/* A place of the service's table. */
static __always_inline __u64 *place_of(const struct service *service, __u32 place)
{
	__u32 index = service->table + 1 + place;

	return bpf_map_lookup_elem(&places, &index);
}

static __always_inline volatile __u64 *state_of(const struct service *service)
{
	__u32 index = service->table;

	return bpf_map_lookup_elem(&places, &index);
}

/* The destination in a place of the service's table. */
static __always_inline __u32 destination_in(const struct service *service, __u32 place)
{
	__u64 *entry = place_of(service, place);

	return entry ? (__u32)*entry : NO_CHOICE;
}

/* A destination that new connections may go to. */
static __always_inline const struct destination *usable_destination(__u32 index)
{
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &index);

	if (!destination || !destination->weight || !(destination->flags & DESTINATION_AVAILABLE))
		return NULL;
	return is_overloaded(destination, index) ? NULL : destination;
}

static __always_inline int is_usable(__u32 index)
{
	return usable_destination(index) != NULL;
}

/* The address, and with sh-port or mh-port the port, that a client is hashed by. */
static __always_inline __u32 client_number(const struct service *service, const struct packet *packet)
{
	__u32 port = service->scheduler_flags & SCHEDULER_FLAG_2 ? bpf_ntohs(packet->tuple.source_port) : 0;

	return fold_address(&packet->tuple.source) + port;
}

#endif
