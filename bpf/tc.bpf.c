// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The hooks at a client's device: requests are turned at its ingress, replies at its egress. Most packets are none of
 * ours, and the hooks themselves only tell which. They write to no packet: the kernel makes a TCP segment's buffer
 * writable before a program that may write, whether it then does or not.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/explain.h"
#include "lib/filter.h"
#include "lib/handlers.h"
#include "lib/icmp.h"
#include "lib/likely.h"
#include "lib/parse.h"
#include "lib/skb.h"

/* An ICMP error comes from whatever router has met the packet that it is about. */
static __always_inline int pass_foreign(struct __sk_buff *skb, enum family family)
{
	__u8 protocol = protocol_of((void *)(long)skb->data, (void *)(long)skb->data_end, family);

	return unlikely(is_icmp(protocol, family)) ? conclude(skb, hand_over_to(HANDLER_ICMP_EGRESS)) : TC_ACT_UNSPEC;
}

/* The same program takes the ordinary packets of both hooks, and reads in skb->cb[0] which it is. */
static __always_inline int hand_over_from(struct __sk_buff *skb, enum handler handler, enum hook hook)
{
	skb->cb[0] = hook;
	return conclude(skb, hand_over_to(handler));
}

/* A packet with a VLAN's tag is met next by the VLAN's own device, without it. */
static __always_inline int take_request(struct __sk_buff *skb, enum handler handler)
{
	return skb->vlan_present ? TC_ACT_UNSPEC : hand_over_from(skb, handler, HOOK_INGRESS);
}

SEC("tc")
int tc_ingress(struct __sk_buff *skb)
{
	if (likely(skb->protocol == bpf_htons(ETH_P_IP)))
		return likely(is_foreign_request(skb, FAMILY_IPV4)) ? TC_ACT_UNSPEC
								    : take_request(skb, HANDLER_ORDINARY4);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return likely(is_foreign_request(skb, FAMILY_IPV6)) ? TC_ACT_UNSPEC
								    : take_request(skb, HANDLER_ORDINARY6);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int tc_egress(struct __sk_buff *skb)
{
	if (likely(skb->protocol == bpf_htons(ETH_P_IP)))
		return likely(is_foreign_skb(skb, FAMILY_IPV4, HOOK_EGRESS))
			       ? pass_foreign(skb, FAMILY_IPV4)
			       : hand_over_from(skb, HANDLER_ORDINARY4, HOOK_EGRESS);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return likely(is_foreign_skb(skb, FAMILY_IPV6, HOOK_EGRESS))
			       ? pass_foreign(skb, FAMILY_IPV6)
			       : hand_over_from(skb, HANDLER_ORDINARY6, HOOK_EGRESS);
	return TC_ACT_UNSPEC;
}

/* Not attached anywhere: says what tc_ingress would do with the packet, in skb->cb as struct explanation, and changes
 * nothing. skb->cb[0] says beforehand whether the packet comes in by an uplink. */
SEC("tc")
int explain(struct __sk_buff *skb)
{
	enum family family = skb->protocol == bpf_htons(ETH_P_IPV6) ? FAMILY_IPV6 : FAMILY_IPV4;
	struct explanation explanation = {};
	struct packet packet = {};
	struct cursor cursor;

	explanation.reason = parse_skb(skb, &cursor, &packet, family, HOOK_INGRESS);
	packet.is_outside = skb->cb[0] != 0;
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
