// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the hooks of tc.bpf.c hand over because it came in by a device that leads off this node, and may have to be sent
 * on to another one.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/forward.h"
#include "lib/handlers.h"
#include "lib/local.h"
#include "lib/outside.h"
#include "lib/parse.h"
#include "lib/skb.h"

/* As a router does: what is too big or too old goes back as an ICMP error. */
static __noinline int send_out(struct __sk_buff *skb, const struct cursor *cursor, const struct packet *packet,
			       const struct flow *flow)
{
	const struct next_hop *hop = next_hop_of(skb, skb->ifindex, flow);
	enum family family = packet->tuple.family;
	__u32 index = flow->connection, mtu;
	struct connection *connection = bpf_map_lookup_elem(&connections, &index);

	if (is_for_another_host(skb))
		return TC_ACT_UNSPEC;
	if (!hop || !connection)
		return verdict_of(REASON_DROPPED_NO_ROUTE);
	if (is_at_last_hop(cursor, family))
		return hand_over_to(HANDLER_TIME_EXCEEDED);
	if (!fits_device(skb, hop->ifindex, packet->length, &mtu)) {
		skb->cb[0] = mtu;
		return hand_over_to(HANDLER_TOO_BIG);
	}
	if (advance_connection(connection, packet, flow, now_ns()))
		return TC_ACT_UNSPEC;
	lower_skb_hop_limit(skb, cursor, family);
	if (translate(skb, cursor, packet, connection, flow, family)) {
		count_reason(REASON_DROPPED_REWRITE_FAILED);
		return TC_ACT_SHOT;
	}
	return send_to(skb, hop);
}

/*
 * A process of this node may connect to a destination from the port that an ended connection had there: the kernel,
 * which chose the port, knows nothing of that one. The answer to its SYN is none to a connection that has ended.
 */
static __always_inline int is_for_process(const struct connection *connection, const struct packet *packet,
					  const struct flow *flow)
{
	return flow->direction == DIRECTION_REPLY && packet->has_syn &&
	       (connection->state == STATE_TIME_WAIT || connection->state == STATE_CLOSE);
}

static __always_inline int handle(struct __sk_buff *skb, enum family family)
{
	struct packet packet = {};
	struct connection *connection;
	struct cursor cursor;
	enum reason reason;
	struct flow flow;

	reason = parse_skb(skb, &cursor, &packet, family, HOOK_INGRESS);
	if (reason != REASON_TRANSLATED)
		return verdict_of(reason);
	connection = known_connection(&packet, &flow, &reason);
	if (!connection)
		return reason == REASON_TRANSLATED ? hand_over_to(HANDLER_OUTSIDE_FIRST) : verdict_of(reason);
	if (connection->flags & CONNECTION_OUTSIDE) {
		if (!is_for_process(connection, &packet, &flow))
			return send_out(skb, &cursor, &packet, &flow);
		remove_connection(flow.connection, flow.generation);
		return TC_ACT_UNSPEC;
	}
	if (local_redirect())
		return forward_straight(skb, &cursor, &packet, connection, &flow, family);
	return forward(skb, &cursor, &packet, connection, &flow, family);
}

static __noinline int outside4(struct __sk_buff *skb)
{
	return handle(skb, FAMILY_IPV4);
}

static __noinline int outside6(struct __sk_buff *skb)
{
	return handle(skb, FAMILY_IPV6);
}

/* The ways of translate.bpf.c once more, with those that lead out. */
SEC("tc")
int handle_outside(struct __sk_buff *skb)
{
	return conclude(skb, skb->protocol == bpf_htons(ETH_P_IPV6) ? outside6(skb) : outside4(skb));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
