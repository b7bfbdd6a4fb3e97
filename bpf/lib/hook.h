// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is done with an ordinary packet that may be ours, at a device. */
#ifndef BPVS_HOOK_H
#define BPVS_HOOK_H

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "client.h"
#include "forward.h"
#include "handlers.h"
#include "icmp.h"
#include "ip.h"
#include "local.h"
#include "parse.h"
#include "skb.h"
#include "uplink.h"

/* What has no TCP, UDP or SCTP header right behind a plain IP header. */
static __always_inline int hand_over_rest(__u8 protocol, enum reason reason, enum family family, enum hook hook)
{
	if (reason == REASON_PASSED_FRAGMENT || (family == FAMILY_IPV6 && is_extension(protocol)))
		return hand_over_to(hook == HOOK_INGRESS ? HANDLER_EXTENDED_INGRESS : HANDLER_EXTENDED_EGRESS);
	return is_icmp(protocol, family) ? hand_over_icmp(hook) : TC_ACT_UNSPEC;
}

/* Where requests go on to destinations on this node: as the stack routes them, or straight where lib/local.h can. */
enum way { UP_THE_STACK, STRAIGHT };

/* A function's result, where the way is straight: the packet is no request of a connection, nor begins one. */
#define VERDICT_MISSED 0x300

/*
 * Whether a packet to what may be a virtual address asks for an answer. Datagrams from outside are mostly tunnels', to
 * the node's own addresses, and have to end here to be looked at.
 */
static __always_inline int asks_for_answer(const struct __sk_buff *skb, const struct cursor *cursor,
					   const struct packet *packet)
{
	if (packet->tuple.protocol == IPPROTO_UDP && is_uplink(skb->ifindex))
		return is_at_last_hop(cursor, packet->tuple.family);
	return may_open(packet);
}

/*
 * `family` and `way` are constants: each set of them is a straight path of its own, short enough for the instruction
 * cache. Both hooks take the same one, so that a reply finds in that cache what the request has brought there.
 */
static __always_inline int handle(struct __sk_buff *skb, enum family family, enum hook hook, enum way way)
{
	struct packet packet = {};
	struct cursor cursor;
	struct connection *connection;
	enum reason reason;
	struct flow flow;

	reason = parse_skb(skb, &cursor, &packet, family, hook);
	if (unlikely(reason == REASON_PASSED_NOT_OURS || reason == REASON_PASSED_FRAGMENT))
		return hand_over_rest(packet.tuple.protocol, reason, family, hook);
	if (unlikely(reason != REASON_TRANSLATED))
		return verdict_of(reason);
	packet.tuple.family = family; /* once more, as a constant for what comes */
	connection = connection_for(skb, &packet, &flow, hook, &reason);
	if (likely(connection && !(connection->flags & CONNECTION_OUTSIDE)))
		return way == STRAIGHT ? forward_straight(skb, &cursor, &packet, connection, &flow, family)
				       : forward(skb, &cursor, &packet, connection, &flow, family);
	if (connection || reason == BEGINS_AT_UPLINK)
		return hand_over_to(HANDLER_OUTSIDE);
	if (reason == BEGINS_ONE_PACKET)
		return hand_over_to(HANDLER_ONE_PACKET);
	if (reason != REASON_PASSED_NOT_OURS)
		return verdict_of(reason);
	if (hook == HOOK_INGRESS && asks_for_answer(skb, &cursor, &packet))
		return hand_over_to(HANDLER_NO_SERVICE);
	return way == STRAIGHT ? VERDICT_MISSED : TC_ACT_UNSPEC;
}

#endif
