// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which clients a service is for, and with which destinations. IPVS has nothing of it: traffic policies and source
 * ranges of Kubernetes need it. Services without them pay a test of two bits for each new connection.
 */
#ifndef BPVS_VIEW_H
#define BPVS_VIEW_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "parse.h"

/* A function of its own for the sake of the stack. */
static __noinline int is_in_ranges(__u32 service, const struct address *address)
{
	struct source_range range = {
		.prefix_length = 8 * (sizeof(range.service) + sizeof(range.address)),
		.service = service,
		.address = *address,
	};

	return bpf_map_lookup_elem(&source_ranges, &range) != NULL;
}

/* @param port the service's own: those of all ports and of FTP are for packets to others, too */
static __noinline struct service *outside_view(const struct packet *packet, __be16 port)
{
	struct service_key key = {
		.address = packet->tuple.destination,
		.port = port,
		.protocol = packet->tuple.protocol,
		.family = packet->tuple.family | VIEW_OUTSIDE,
	};

	return bpf_map_lookup_elem(&services, &key);
}

/*
 * The part of a service that a client may use, in the service's place.
 * @return REASON_TRANSLATED, or why the client gets none; then it is silence, as from a firewall
 */
static __always_inline enum reason enter_view(const struct packet *packet, struct service **service)
{
	__u8 flags = (*service)->flags;

	if (flags & SERVICE_HAS_RANGES && !is_in_ranges((*service)->id, &packet->tuple.source))
		return REASON_DROPPED_SOURCE_RANGE;
	if (!(flags & SERVICE_HAS_OUTSIDE) || !packet->is_outside)
		return REASON_TRANSLATED;
	*service = outside_view(packet, (*service)->port);
	return *service ? REASON_TRANSLATED : REASON_PASSED_NOT_OURS;
}

#endif
