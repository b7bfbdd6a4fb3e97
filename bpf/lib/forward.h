// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a parsed packet to a hook's verdict. */
#ifndef BPVS_FORWARD_H
#define BPVS_FORWARD_H

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "follow.h"
#include "handlers.h"
#include "l2.h"
#include "nat.h"
#include "stats.h"
#include "uplink.h"

static __always_inline int verdict_of(enum reason reason)
{
	if (reason == REASON_REJECTED_NO_DESTINATION)
		return hand_over_to(HANDLER_REJECT);
	count_reason(reason);
	return reason >= REASON_DROPPED_NO_DESTINATION ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

static __always_inline int hand_over_icmp(enum hook hook)
{
	return hand_over_to(hook == HOOK_INGRESS ? HANDLER_ICMP_INGRESS : HANDLER_ICMP_EGRESS);
}

/* Beyond every reason: the packet begins a connection at an uplink, which lib/outside.h opens. */
#define BEGINS_AT_UPLINK REASON_COUNT

/* The connection that a packet belongs to or begins, with *flow set. @return NULL with *reason set where it has none */
static __always_inline struct connection *connection_for(struct __sk_buff *skb, const struct packet *packet,
							 struct flow *flow, enum hook hook, enum reason *reason)
{
	struct connection *connection = known_connection(packet, flow, reason);
	struct service *service;

	if (likely(connection) || *reason != REASON_TRANSLATED)
		return connection;
	*reason = REASON_PASSED_NOT_OURS;
	if (hook == HOOK_EGRESS || is_for_another_host(skb))
		return NULL;
	if (is_uplink(skb->ifindex)) {
		/* Most are for the node itself, tunnelled packets among them. */
		*reason = service_of(packet, &service);
		if (*reason == REASON_TRANSLATED)
			*reason = BEGINS_AT_UPLINK;
		return NULL;
	}
	connection = new_connection(packet, flow, reason);
	if (!connection && *reason == REASON_TRANSLATED)
		*reason = REASON_PASSED_NOT_OURS;
	return connection;
}

/* Sends a packet to where it came from. */
static __noinline int send_back(struct __sk_buff *skb)
{
	return swap_link_addresses(skb) ? TC_ACT_SHOT : bpf_redirect(skb->ifindex, 0);
}

/* A translated packet goes on where the stack sends it, but for a hairpin's. */
static __always_inline int send_on(struct __sk_buff *skb, __u8 connection_flags)
{
	return connection_flags & CONNECTION_HAIRPIN ? send_back(skb) : TC_ACT_UNSPEC;
}

/* Translates a packet of a known connection and sends it on. */
static __always_inline int forward(struct __sk_buff *skb, const struct cursor *cursor, const struct packet *packet,
				   struct connection *connection, const struct flow *flow, enum family family)
{
	__u8 flags = connection->flags;

	if (unlikely(advance_connection(connection, packet, flow, now_ns())))
		return TC_ACT_UNSPEC;
	if (unlikely(translate(skb, cursor, packet, connection, flow, family))) {
		count_reason(REASON_DROPPED_REWRITE_FAILED);
		return TC_ACT_SHOT;
	}
	return send_on(skb, flags);
}

#endif
