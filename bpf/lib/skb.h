// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A packet in a socket buffer, of which only the first bytes may be linear. */
#ifndef BPVS_SKB_H
#define BPVS_SKB_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "parse.h"

/* The longest headers that are read: Ethernet, IPv4 with all options, TCP with all options. */
#define HEADERS_MAX (LINK_HEADER_LENGTH + 60 + 60)

/* Parses what is linear; where that is not enough for the headers, pulls them in once. */
static __always_inline enum reason parse_skb(struct __sk_buff *skb, struct cursor *cursor, struct packet *packet,
					     enum family family, enum hook hook)
{
	enum reason reason;
	int i;

	packet->tuple.hook = hook;
	packet->mark = skb->mark;
	for (i = 0; i < 2; i++) {
		cursor->start = (void *)(long)skb->data;
		cursor->end = (void *)(long)skb->data_end;
		cursor->at = cursor->start + LINK_HEADER_LENGTH;
		reason = parse_network(cursor, packet, family, skb->len - LINK_HEADER_LENGTH);
		if (likely(reason == REASON_TRANSLATED))
			reason = parse_transport(cursor, packet);
		if (likely(reason == REASON_TRANSLATED) && unlikely(packet->tuple.protocol == IPPROTO_SCTP))
			reason = parse_chunks(skb, 0, packet);
		if (likely(reason != REASON_PASSED_MALFORMED) || cursor->start + skb->len <= cursor->end)
			return reason;
		bpf_skb_pull_data(skb, skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX);
	}
	return reason;
}

#endif
