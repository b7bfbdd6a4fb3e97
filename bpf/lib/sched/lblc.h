// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Locality-based least connection (net/netfilter/ipvs/ip_vs_lblc.c): an address's connections stay at one destination
 * while that can take them. */
#ifndef BPVS_SCHED_LBLC_H
#define BPVS_SCHED_LBLC_H

#include "cache.h"

/* A destination at its upper threshold is kept: the kernel does not ask. */
static __always_inline int lblc_keeps(const struct service *service, __u32 index)
{
	const struct destination *destination = cached_destination_of(service, index);

	return destination && destination->weight && !is_overfull(service, destination, index);
}

static __always_inline void lblc_remember(struct scratch *scratch, struct cached_address *entry, __u32 destination)
{
	if (destination == NO_CHOICE)
		return;
	if (entry)
		entry->destination = destination;
	else
		remember_address(scratch, destination);
}

/* Not static, so that its stack is its own. */
__noinline __u32 schedule_lblc(const struct service *service, const struct packet *packet, struct choice *choice)
{
	struct cached_address *entry = NULL;
	__u32 destination = NO_CHOICE;
	struct scratch *scratch;

	if (!service || !packet || !choice)
		return NO_CHOICE;
	scratch = take_scratch(service, packet, SCHEDULER_LBLC);
	if (scratch)
		entry = recall_address(scratch, choice);
	if (entry && lblc_keeps(service, entry->destination))
		destination = entry->destination;
	if (destination == NO_CHOICE) {
		destination = schedule_wlc(service, packet, choice);
		if (scratch && !choice->is_trial)
			lblc_remember(scratch, entry, destination);
	}
	give_back(scratch);
	return destination;
}

#endif
