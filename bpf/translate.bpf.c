// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the hooks of tc.bpf.c hand over because it goes to a service's address, or comes from a destination's. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "lib/handlers.h"
#include "lib/hook.h"

SEC("tc")
int handle_ingress4(struct __sk_buff *skb)
{
	return conclude(skb, handle(skb, FAMILY_IPV4, HOOK_INGRESS, UP_THE_STACK));
}

SEC("tc")
int handle_ingress6(struct __sk_buff *skb)
{
	return conclude(skb, handle(skb, FAMILY_IPV6, HOOK_INGRESS, UP_THE_STACK));
}

SEC("tc")
int handle_egress4(struct __sk_buff *skb)
{
	return conclude(skb, handle(skb, FAMILY_IPV4, HOOK_EGRESS, UP_THE_STACK));
}

SEC("tc")
int handle_egress6(struct __sk_buff *skb)
{
	return conclude(skb, handle(skb, FAMILY_IPV6, HOOK_EGRESS, UP_THE_STACK));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
