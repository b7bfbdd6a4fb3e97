// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Connections that begin at an uplink. */
#ifndef BPVS_OUTSIDE_FIRST_H
#define BPVS_OUTSIDE_FIRST_H

#include "address.h"
#include "follow.h"
#include "route.h"
#include "uplink.h"

/*
 * The source of a new connection's packets if they leave by an uplink.
 * @return REASON_TRANSLATED with *source set; REASON_PASSED_NOT_OURS where they stay on this node; or
 * REASON_DROPPED_NO_ROUTE
 */
static __noinline enum reason find_source(struct __sk_buff *skb, const struct packet *packet,
					  const struct decision *decision, struct address *source)
{
	__u32 destination_index = decision->destination;
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &destination_index);
	struct tuple tuple = packet->tuple;
	const struct address *found;
	struct next_hop hop;
	enum reason reason;

	if (!destination)
		return REASON_PASSED_NOT_OURS;
	tuple.destination = destination->address;
	tuple.destination_port = decision->port;
	reason = look_up_route(skb, &tuple, skb->ifindex, &hop);
	if (reason != REASON_TRANSLATED)
		return reason;
	found = source_of_uplink(hop.ifindex, tuple.family);
	if (!found)
		return REASON_PASSED_NOT_OURS;
	*source = *found;
	return is_unspecified(source) ? REASON_DROPPED_NO_ROUTE : REASON_TRANSLATED;
}

static __noinline struct connection *open_connection_of_uplink(struct __sk_buff *skb, struct packet *packet,
							       struct flow *flow, enum reason *reason)
{
	struct decision decision = {};
	struct address source = {};

	packet->is_outside = 1;
	*reason = admit(packet, &decision);
	if (*reason != REASON_TRANSLATED)
		return NULL;
	*reason = find_source(skb, packet, &decision, &source);
	if (*reason == REASON_DROPPED_NO_ROUTE) {
		take_back(&decision);
		return NULL;
	}
	return begin_connection(packet, &decision, *reason == REASON_TRANSLATED ? &source : NULL, flow, reason);
}

#endif
