// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Connections that begin at an uplink, and the packets of those that leave by one: sent on as a router would. */
#ifndef BPVS_OUTSIDE_H
#define BPVS_OUTSIDE_H

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "address.h"
#include "follow.h"
#include "forward.h"
#include "handlers.h"
#include "nat.h"
#include "parse.h"
#include "route.h"
#include "stats.h"
#include "uplink.h"

/*
 * The source of a new connection's packets if they leave by an uplink.
 * @return REASON_TRANSLATED with *source set; REASON_PASSED_NOT_OURS where they stay on this node; or
 * REASON_DROPPED_NO_ROUTE
 */
static __noinline enum reason find_source(struct __sk_buff *skb, const struct packet *packet, __u32 destination_index,
					  struct address *source)
{
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &destination_index);
	struct tuple tuple = packet->tuple;
	const struct address *found;
	struct next_hop hop;
	enum reason reason;

	if (!destination)
		return REASON_PASSED_NOT_OURS;
	tuple.destination = destination->address;
	tuple.destination_port = destination->port;
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
	struct address source = {};
	__u32 destination = 0;

	packet->is_outside = 1;
	*reason = admit(packet, &destination);
	if (*reason != REASON_TRANSLATED)
		return NULL;
	*reason = find_source(skb, packet, destination, &source);
	if (*reason == REASON_DROPPED_NO_ROUTE)
		return NULL;
	return begin_connection(packet, destination, *reason == REASON_TRANSLATED ? &source : NULL, flow, reason);
}

/* A function's result: send the translated packet the way that skb->cb names, a connection and its direction. */
#define VERDICT_SEND 0x200

static __always_inline int leave_to_send(struct __sk_buff *skb, const struct flow *flow)
{
	skb->cb[0] = flow->connection;
	skb->cb[1] = flow->direction;
	return VERDICT_SEND;
}

static __noinline int send_named(struct __sk_buff *skb)
{
	enum family family = skb->protocol == bpf_htons(ETH_P_IPV6) ? FAMILY_IPV6 : FAMILY_IPV4;
	struct flow flow = { .connection = skb->cb[0], .direction = skb->cb[1] };
	const struct next_hop *hop = next_hop_of(skb, skb->ifindex, &flow);
	struct cursor cursor = {};

	if (!hop) {
		count_reason(REASON_DROPPED_NO_ROUTE);
		return TC_ACT_SHOT;
	}
	cursor.start = (void *)(long)skb->data;
	cursor.end = (void *)(long)skb->data_end;
	if (is_at_last_hop(&cursor, family)) { /* about a later fragment, or an ICMP error, nobody is told (RFC 1122) */
		count_reason(REASON_DROPPED_LAST_HOP);
		return TC_ACT_SHOT;
	}
	bpf_csum_update(skb, lower_hop_limit(&cursor, family));
	return send_to(hop);
}

/* The last step of a program, whose functions have left it to do: their stack is free again for the route. */
static __always_inline int send_left(struct __sk_buff *skb, int verdict)
{
	return verdict == VERDICT_SEND ? send_named(skb) : verdict;
}

#endif
