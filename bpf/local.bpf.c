// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The hook at a device's ingress where local_redirect is on, in place of the one of tc.bpf.c, and what it hands over
 * to: there is nothing of it on the way of packets where it is off. It meets requests, and replies before the stack
 * does.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/filter.h"
#include "lib/flow.h"
#include "lib/handlers.h"
#include "lib/hook.h"
#include "lib/local.h"
#include "lib/parse.h"
#include "lib/skb.h"

static __always_inline int ingress(struct __sk_buff *skb, enum family family, enum handler request, enum handler reply)
{
	if (!is_foreign_request(skb, family))
		return conclude(skb, hand_over_to(request));
	if (!is_foreign_skb(skb, family, HOOK_EGRESS))
		return conclude(skb, hand_over_to(reply));
	return TC_ACT_UNSPEC;
}

SEC("tc")
int local_ingress(struct __sk_buff *skb)
{
	if (skb->vlan_present) /* the VLAN's own device meets it next, without the tag */
		return TC_ACT_UNSPEC;
	switch (skb->protocol) {
	case bpf_htons(ETH_P_IP):
		return ingress(skb, FAMILY_IPV4, HANDLER_STRAIGHT4, HANDLER_REPLY4);
	case bpf_htons(ETH_P_IPV6):
		return ingress(skb, FAMILY_IPV6, HANDLER_STRAIGHT6, HANDLER_REPLY6);
	default:
		return TC_ACT_UNSPEC;
	}
}

/* What is no request may be a reply all the same: a client's address may have the bit of a virtual one. */
static __always_inline int handle_request(struct __sk_buff *skb, enum family family, enum handler reply)
{
	int verdict = handle(skb, family, HOOK_INGRESS, STRAIGHT);

	if (verdict == VERDICT_MISSED)
		verdict = is_foreign_skb(skb, family, HOOK_EGRESS) ? TC_ACT_UNSPEC : hand_over_to(reply);
	return conclude(skb, verdict);
}

SEC("tc")
int handle_straight4(struct __sk_buff *skb)
{
	return handle_request(skb, FAMILY_IPV4, HANDLER_REPLY4);
}

SEC("tc")
int handle_straight6(struct __sk_buff *skb)
{
	return handle_request(skb, FAMILY_IPV6, HANDLER_REPLY6);
}

/* A reply is known by how the client's device would meet it. Fragments and the like are left to that. */
static __always_inline int handle_reply(struct __sk_buff *skb, enum family family)
{
	struct packet packet = {};
	struct connection *connection;
	struct cursor cursor;
	struct flow flow;

	if (parse_skb(skb, &cursor, &packet, family, HOOK_EGRESS) != REASON_TRANSLATED)
		return TC_ACT_UNSPEC;
	connection = find_connection(&packet.tuple, &flow);
	return connection ? forward_straight(skb, &cursor, &packet, connection, &flow, family) : TC_ACT_UNSPEC;
}

SEC("tc")
int handle_reply4(struct __sk_buff *skb)
{
	return handle_reply(skb, FAMILY_IPV4);
}

SEC("tc")
int handle_reply6(struct __sk_buff *skb)
{
	return handle_reply(skb, FAMILY_IPV6);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
