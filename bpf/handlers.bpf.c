// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the hooks of tc.bpf.c hand over: rare kinds of packets, a program for each. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/reject.h"
#include "lib/skb.h"
#include "lib/stats.h"

static __always_inline enum family family_of_skb(const struct __sk_buff *skb)
{
	return skb->protocol == bpf_htons(ETH_P_IPV6) ? FAMILY_IPV6 : FAMILY_IPV4;
}

/* A request to a service that has nobody to give it to goes back to its sender as an ICMP error. */
SEC("tc")
int handle_reject(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct cursor cursor;
	enum reason reason;

	reason = parse_skb(skb, &cursor, &packet, family_of_skb(skb), HOOK_INGRESS);
	if (reason == REASON_TRANSLATED)
		reason = reject(skb, &packet);
	else
		reason = REASON_DROPPED_REJECT_FAILED;
	count_reason(reason);
	return reason == REASON_REJECTED_NO_DESTINATION ? bpf_redirect(skb->ifindex, 0) : TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
