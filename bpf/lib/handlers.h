// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Handing rare packets over to tc programs of their own, so that the way of all the others stays short, in instructions
 * and in stack: after a tail call the stack is empty again.
 */
#ifndef BPVS_HANDLERS_H
#define BPVS_HANDLERS_H

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "stats.h"

/* Beyond every TC_ACT_*: a function's result that says which handler has to go on with the packet. */
#define VERDICT_HANDLER 0x100

static __always_inline int hand_over_to(enum handler handler)
{
	return VERDICT_HANDLER + handler;
}

/*
 * The last step of a hook. Only the program itself makes the tail call: in a function below it, every call on the way
 * there would have to carry the kernel's count of tail calls.
 */
static __always_inline int conclude(struct __sk_buff *skb, int verdict)
{
	if (verdict < VERDICT_HANDLER)
		return verdict;
	bpf_tail_call(skb, &HANDLERS, verdict - VERDICT_HANDLER);
	count_reason(REASON_DROPPED_HANDLER_MISSING);
	/* ICMP that leaves is mostly nobody's business: neighbour discovery is among it. */
	return verdict == VERDICT_HANDLER + HANDLER_ICMP_EGRESS ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

#endif
