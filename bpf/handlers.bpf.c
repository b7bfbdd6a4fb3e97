// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the hooks of tc.bpf.c hand over: rare kinds of packets, a program for each. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/echo.h"
#include "lib/extended.h"
#include "lib/handlers.h"
#include "lib/icmp_error.h"
#include "lib/one_packet.h"
#include "lib/outside_first.h"
#include "lib/reject.h"
#include "lib/skb.h"
#include "lib/stats.h"

static __always_inline enum family family_of_skb(const struct __sk_buff *skb)
{
	return skb->protocol == bpf_htons(ETH_P_IPV6) ? FAMILY_IPV6 : FAMILY_IPV4;
}

/* Sends the packet back where it came from, if it became an answer. @param direction 0, or BPF_F_INGRESS to the host */
static __always_inline int answer(struct __sk_buff *skb, enum reason reason, __u64 direction)
{
	count_reason(reason);
	return reason >= REASON_DROPPED_NO_DESTINATION ? TC_ACT_SHOT : bpf_redirect(skb->ifindex, direction);
}

/* The packet goes back to its sender as an ICMP error. @param mtu of the way on, for REASON_REJECTED_TOO_BIG */
static __always_inline int answer_with_error(struct __sk_buff *skb, enum reason why, __u32 mtu)
{
	struct packet packet = { .tuple.family = family_of_skb(skb), .tuple.hook = HOOK_INGRESS };

	if (parse_any(skb, &packet) != REASON_TRANSLATED)
		return answer(skb, REASON_DROPPED_REJECT_FAILED, 0);
	return answer(skb, reject(skb, &packet, why, mtu), 0);
}

static __always_inline int verdict_without_connection(enum reason reason)
{
	if (reason == BEGINS_ONE_PACKET)
		return hand_over_to(HANDLER_ONE_PACKET);
	return reason == REASON_PASSED_NOT_OURS ? TC_ACT_UNSPEC : verdict_of(reason);
}

/* A request to a service that has nobody to give it to. */
SEC("tc")
int handle_reject(struct __sk_buff *skb)
{
	return answer_with_error(skb, REASON_REJECTED_NO_DESTINATION, 0);
}

/*
 * A first packet to a virtual address, at a port where no service is: were the address this host's, its sender would be
 * told that nobody listens. So a traceroute ends here, too.
 */
SEC("tc")
int handle_no_service(struct __sk_buff *skb)
{
	enum family family = family_of_skb(skb);
	struct packet packet = {};
	struct cursor cursor;

	if (parse_skb(skb, &cursor, &packet, family, HOOK_INGRESS) != REASON_TRANSLATED || !may_open(&packet) ||
	    !may_answer(skb, &packet.tuple))
		return TC_ACT_UNSPEC;
	return answer(skb, reject(skb, &packet, REASON_REJECTED_NO_SERVICE, 0), 0);
}

/* What is not sent on to another node, as a router between would not (RFC 1812, 5.2.7 and 5.3.1). */
SEC("tc")
int handle_time_exceeded(struct __sk_buff *skb)
{
	return answer_with_error(skb, REASON_REJECTED_TIME_EXCEEDED, 0);
}

/* skb->cb[0] is the MTU of the way on. */
SEC("tc")
int handle_too_big(struct __sk_buff *skb)
{
	return answer_with_error(skb, REASON_REJECTED_TOO_BIG, skb->cb[0]);
}

static __always_inline int handle_error(struct __sk_buff *skb, struct icmp_packet *packet, enum family family,
					enum hook hook)
{
	enum reason reason;
	struct flow flow = {};
	__u8 flags = 0;

	if (!read_quote(skb, family, packet))
		return TC_ACT_UNSPEC;
	reason = translate_error(skb, packet, family, hook, &flow, &flags);
	if (reason == REASON_PASSED_NOT_OURS)
		return TC_ACT_UNSPEC;
	if (reason != REASON_TRANSLATED) {
		count_reason(reason);
		return TC_ACT_SHOT;
	}
	if (flags & CONNECTION_OUTSIDE)
		return leave_to_send(skb, &flow);
	return send_on(skb, flags);
}

/* At egress only pings of the host's processes are answered: a packet that entered by a device was looked at there. */
static __always_inline int handle_icmp(struct __sk_buff *skb, enum family family, enum hook hook)
{
	struct icmp_packet packet;
	struct tuple ends;

	if (!read_icmp(skb, family, &packet))
		return TC_ACT_UNSPEC;
	ends = (struct tuple){ .source = packet.ip.source, .destination = packet.ip.destination, .family = family };
	if (is_icmp_error(packet.icmp.type, family) && !packet.ip.fragment.is_later)
		return handle_error(skb, &packet, family, hook);
	if ((hook == HOOK_EGRESS && skb->ingress_ifindex) || !is_echo_request(&packet, family) ||
	    !may_answer(skb, &ends))
		return TC_ACT_UNSPEC;
	return answer(skb, answer_echo(skb, &packet, family), hook == HOOK_EGRESS ? BPF_F_INGRESS : 0);
}

static __noinline int icmp_ingress4(struct __sk_buff *skb)
{
	return handle_icmp(skb, FAMILY_IPV4, HOOK_INGRESS);
}

static __noinline int icmp_ingress6(struct __sk_buff *skb)
{
	return handle_icmp(skb, FAMILY_IPV6, HOOK_INGRESS);
}

static __noinline int icmp_egress4(struct __sk_buff *skb)
{
	return handle_icmp(skb, FAMILY_IPV4, HOOK_EGRESS);
}

static __noinline int icmp_egress6(struct __sk_buff *skb)
{
	return handle_icmp(skb, FAMILY_IPV6, HOOK_EGRESS);
}

SEC("tc")
int handle_icmp_ingress(struct __sk_buff *skb)
{
	return send_left(skb, family_of_skb(skb) == FAMILY_IPV4 ? icmp_ingress4(skb) : icmp_ingress6(skb));
}

SEC("tc")
int handle_icmp_egress(struct __sk_buff *skb)
{
	return family_of_skb(skb) == FAMILY_IPV4 ? icmp_egress4(skb) : icmp_egress6(skb);
}

/* A function of its own for the sake of the stack. @return 0, or -1 */
static __noinline int aim_datagram(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	__u32 index = flow->connection;
	struct connection *connection = bpf_map_lookup_elem(&connections, &index);
	struct cursor cursor;
	int failed;

	if (!connection)
		return -1;
	failed = point_to_transport(skb, packet, &cursor) ||
		 translate(skb, &cursor, packet, connection, flow, packet->tuple.family);
	release_entry(connection, flow);
	return failed ? -1 : 0;
}

/* A datagram that is scheduled by itself: it goes up the stack to its destination, wherever that is. */
SEC("tc")
int handle_one_packet(struct __sk_buff *skb)
{
	struct packet packet = { .tuple.family = family_of_skb(skb), .tuple.hook = HOOK_INGRESS, .mark = skb->mark };
	struct flow flow = {};
	enum reason reason;

	if (parse_any(skb, &packet) != REASON_TRANSLATED)
		return TC_ACT_UNSPEC;
	packet.is_outside = is_uplink(skb->ifindex);
	reason = begin_datagram(&packet, &flow);
	if (reason == REASON_TRANSLATED && aim_datagram(skb, &packet, &flow))
		reason = REASON_DROPPED_REWRITE_FAILED;
	return conclude(skb, reason == REASON_TRANSLATED ? TC_ACT_UNSPEC : verdict_of(reason));
}

/*
 * Opens the connection of a packet that begins one at an uplink, and finds the way of one that leaves by one; the
 * packet then has what it needs, and comes again. A program of its own for the sake of the stack.
 */
static __always_inline int begin_at_uplink(struct __sk_buff *skb, enum handler again)
{
	struct packet packet = { .tuple.family = family_of_skb(skb), .tuple.hook = HOOK_INGRESS, .mark = skb->mark };
	struct connection *connection = NULL;
	enum reason reason;
	struct flow flow;

	reason = parse_any(skb, &packet);
	if (reason == REASON_TRANSLATED)
		connection = find_connection(&packet.tuple, &flow);
	if (reason == REASON_TRANSLATED && !connection)
		connection = open_connection_of_uplink(skb, &packet, &flow, &reason);
	if (!connection)
		return conclude(skb, verdict_without_connection(reason));
	if (connection->flags & CONNECTION_OUTSIDE && !next_hop_of(skb, skb->ifindex, &flow))
		return verdict_of(REASON_DROPPED_NO_ROUTE);
	return conclude(skb, hand_over_to(again));
}

SEC("tc")
int handle_uplink(struct __sk_buff *skb)
{
	return begin_at_uplink(skb, HANDLER_EXTENDED_INGRESS);
}

SEC("tc")
int handle_outside_first(struct __sk_buff *skb)
{
	return begin_at_uplink(skb, HANDLER_OUTSIDE);
}

SEC("tc")
int handle_extended_ingress(struct __sk_buff *skb)
{
	return conclude(skb, send_left(skb, handle_extended(skb, family_of_skb(skb), HOOK_INGRESS)));
}

SEC("tc")
int handle_extended_egress(struct __sk_buff *skb)
{
	return conclude(skb, handle_extended(skb, family_of_skb(skb), HOOK_EGRESS));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
