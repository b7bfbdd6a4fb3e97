// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the hooks of tc.bpf.c hand over because it goes to a service's address, or comes from a destination's. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "lib/forward.h"
#include "lib/handlers.h"
#include "lib/icmp.h"
#include "lib/ip.h"
#include "lib/parse.h"
#include "lib/skb.h"

/* What has no TCP, UDP or SCTP header right behind a plain IP header. */
static __always_inline int hand_over_rest(__u8 protocol, enum reason reason, enum family family, enum hook hook)
{
	if (reason == REASON_PASSED_FRAGMENT || (family == FAMILY_IPV6 && is_extension(protocol)))
		return hand_over_to(hook == HOOK_INGRESS ? HANDLER_EXTENDED_INGRESS : HANDLER_EXTENDED_EGRESS);
	return is_icmp(protocol, family) ? hand_over_icmp(hook) : TC_ACT_UNSPEC;
}

/* `family` and `hook` are constants: each pair is a straight path of its own, short enough for the instruction cache.
 */
static __always_inline int handle(struct __sk_buff *skb, enum family family, enum hook hook)
{
	struct packet packet = {};
	struct cursor cursor;
	struct connection *connection;
	enum reason reason;
	struct flow flow;

	reason = parse_skb(skb, &cursor, &packet, family, hook);
	if (reason == REASON_PASSED_NOT_OURS || reason == REASON_PASSED_FRAGMENT)
		return hand_over_rest(packet.tuple.protocol, reason, family, hook);
	if (reason != REASON_TRANSLATED)
		return verdict_of(reason);
	connection = connection_for(skb, &packet, &flow, hook, &reason);
	if (connection && !(connection->flags & CONNECTION_OUTSIDE))
		return forward(skb, &cursor, &packet, connection, &flow, family);
	if (connection || reason == BEGINS_AT_UPLINK)
		return hand_over_to(HANDLER_OUTSIDE);
	if (reason != REASON_PASSED_NOT_OURS)
		return verdict_of(reason);
	return hook == HOOK_INGRESS && is_at_last_hop(&cursor, family) ? hand_over_to(HANDLER_LAST_HOP) : TC_ACT_UNSPEC;
}

SEC("tc")
int handle_ingress4(struct __sk_buff *skb)
{
	return conclude(skb, handle(skb, FAMILY_IPV4, HOOK_INGRESS));
}

SEC("tc")
int handle_ingress6(struct __sk_buff *skb)
{
	return conclude(skb, handle(skb, FAMILY_IPV6, HOOK_INGRESS));
}

SEC("tc")
int handle_egress4(struct __sk_buff *skb)
{
	return conclude(skb, handle(skb, FAMILY_IPV4, HOOK_EGRESS));
}

SEC("tc")
int handle_egress6(struct __sk_buff *skb)
{
	return conclude(skb, handle(skb, FAMILY_IPV6, HOOK_EGRESS));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
