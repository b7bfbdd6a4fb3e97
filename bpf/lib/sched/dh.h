// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Destination hashing (net/netfilter/ipvs/ip_vs_dh.c). Table: 256 places, the destinations in turn. */
#ifndef BPVS_SCHED_DH_H
#define BPVS_SCHED_DH_H

#include "common.h"

static __always_inline __u32 schedule_dh(const struct service *service, const struct packet *packet,
					 struct choice *choice)
{
	__u32 destination;

	if (service->table_size < HASH_PLACES)
		return NO_CHOICE;
	choice->place = hash_address(fold_address(&packet->tuple.destination), HASH_BITS);
	destination = destination_in(service, choice->place);
	return is_usable(destination) ? destination : NO_CHOICE;
}

#endif
