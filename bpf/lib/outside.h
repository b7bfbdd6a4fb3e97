// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Packets of connections that leave by an uplink: sent on as a router would. */
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
	lower_skb_hop_limit(skb, &cursor, family);
	return send_to(skb, hop);
}

/* The last step of a program, whose functions have left it to do: their stack is free again for the route. */
static __always_inline int send_left(struct __sk_buff *skb, int verdict)
{
	return verdict == VERDICT_SEND ? send_named(skb) : verdict;
}

#endif
