// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The hooks at a client's device: requests are turned at its ingress, replies at its egress. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/explain.h"
#include "lib/filter.h"
#include "lib/forward.h"
#include "lib/handlers.h"
#include "lib/icmp.h"
#include "lib/ip.h"
#include "lib/parse.h"
#include "lib/skb.h"
#include "lib/stats.h"

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

static __always_inline int is_foreign_skb(const struct __sk_buff *skb, enum family family, enum hook hook)
{
	return is_foreign((void *)(long)skb->data, (void *)(long)skb->data_end, family, hook);
}

/* An ICMP error comes from whatever router has met the packet that it is about. */
static __always_inline int pass_foreign(const struct __sk_buff *skb, enum family family)
{
	__u8 protocol = protocol_of((void *)(long)skb->data, (void *)(long)skb->data_end, family);

	return is_icmp(protocol, family) ? hand_over_icmp(HOOK_EGRESS) : TC_ACT_UNSPEC;
}

static __noinline int ingress4(struct __sk_buff *skb)
{
	return handle(skb, FAMILY_IPV4, HOOK_INGRESS);
}

static __noinline int ingress6(struct __sk_buff *skb)
{
	return handle(skb, FAMILY_IPV6, HOOK_INGRESS);
}

static __noinline int egress4(struct __sk_buff *skb)
{
	return handle(skb, FAMILY_IPV4, HOOK_EGRESS);
}

static __noinline int egress6(struct __sk_buff *skb)
{
	return handle(skb, FAMILY_IPV6, HOOK_EGRESS);
}

SEC("tc")
int tc_ingress(struct __sk_buff *skb)
{
	switch (skb->protocol) {
	case bpf_htons(ETH_P_IP):
		return is_foreign_skb(skb, FAMILY_IPV4, HOOK_INGRESS) ? TC_ACT_UNSPEC : conclude(skb, ingress4(skb));
	case bpf_htons(ETH_P_IPV6):
		return is_foreign_skb(skb, FAMILY_IPV6, HOOK_INGRESS) ? TC_ACT_UNSPEC : conclude(skb, ingress6(skb));
	default:
		return TC_ACT_UNSPEC;
	}
}

SEC("tc")
int tc_egress(struct __sk_buff *skb)
{
	switch (skb->protocol) {
	case bpf_htons(ETH_P_IP):
		return conclude(skb, is_foreign_skb(skb, FAMILY_IPV4, HOOK_EGRESS) ? pass_foreign(skb, FAMILY_IPV4)
										   : egress4(skb));
	case bpf_htons(ETH_P_IPV6):
		return conclude(skb, is_foreign_skb(skb, FAMILY_IPV6, HOOK_EGRESS) ? pass_foreign(skb, FAMILY_IPV6)
										   : egress6(skb));
	default:
		return TC_ACT_UNSPEC;
	}
}

/* Not attached anywhere: says what tc_ingress would do with the packet, in skb->cb as struct explanation, and changes
 * nothing. */
SEC("tc")
int explain(struct __sk_buff *skb)
{
	enum family family = skb->protocol == bpf_htons(ETH_P_IPV6) ? FAMILY_IPV6 : FAMILY_IPV4;
	struct explanation explanation = {};
	struct packet packet = {};
	struct cursor cursor;

	explanation.reason = parse_skb(skb, &cursor, &packet, family, HOOK_INGRESS);
	if (explanation.reason == REASON_TRANSLATED)
		explain_packet(&packet, &explanation);
	skb->cb[0] = explanation.reason;
	skb->cb[1] = explanation.connection;
	skb->cb[2] = explanation.destination;
	skb->cb[3] = explanation.service;
	skb->cb[4] = explanation.place;
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
