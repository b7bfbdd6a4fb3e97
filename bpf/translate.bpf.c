// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the hooks of tc.bpf.c hand over because it goes to a service's address, or comes from a destination's. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "lib/handlers.h"
#include "lib/hook.h"

/* The hook has written to skb->cb[0] which it is. */
static __always_inline enum hook hook_of(const struct __sk_buff *skb)
{
	return skb->cb[0] == HOOK_INGRESS ? HOOK_INGRESS : HOOK_EGRESS;
}

SEC("tc")
int handle_ordinary4(struct __sk_buff *skb)
{
	return conclude(skb, handle(skb, FAMILY_IPV4, hook_of(skb), UP_THE_STACK));
}

SEC("tc")
int handle_ordinary6(struct __sk_buff *skb)
{
	return conclude(skb, handle(skb, FAMILY_IPV6, hook_of(skb), UP_THE_STACK));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
