// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Packets whose transport header is not right behind a plain IP header: IPv6 extension headers, fragments. */
#ifndef BPVS_EXTENDED_H
#define BPVS_EXTENDED_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "echo.h"
#include "forward.h"
#include "fragment.h"
#include "ip.h"
#include "outside.h"
#include "skb.h"

/* Where a transport header may begin at most: behind Ethernet, IPv6 and extension headers of sizes that nobody has. */
#define TRANSPORT_OFFSET_MAX 2047
#define TRANSPORT_HEADER_MAX 60

/*
 * Reads the headers up to the one that says what the packet carries. A packet that is too long for its length field, by
 * segmentation offload (RFC 2675), is as long as its buffer.
 * Not static, as those below: so the verifier checks each of them once, not anew for every way that leads there.
 */
__noinline int read_extended(struct __sk_buff *skb, struct ip_header *ip, enum family family)
{
	if (!ip)
		return -1;
	/* What a failed read would leave undefined the compiler may spill, and the verifier refuse. */
	*ip = (struct ip_header){};
	if (read_ip(skb, LINK_HEADER_LENGTH, family, ip))
		return -1;
	if (family == FAMILY_IPV6 && ip->end == LINK_HEADER_LENGTH + sizeof(struct ipv6hdr) &&
	    !ip->fragment.is_fragment)
		ip->end = skb->len;
	return ip->end > skb->len || ip->end < ip->transport ? -1 : 0;
}

/* As parse_skb, behind all headers. The length that a UDP header says is that of all fragments. */
__noinline int parse_extended(struct __sk_buff *skb, const struct ip_header *ip, struct packet *packet)
{
	__u32 transport, headers;
	int is_sctp, is_cut_udp;
	struct cursor cursor;
	enum reason reason;

	if (!ip || !packet)
		return REASON_PASSED_MALFORMED;
	is_sctp = ip->protocol == IPPROTO_SCTP; /* whose chunks must not be pulled in, see parse_chunks */
	is_cut_udp = ip->fragment.is_fragment && ip->protocol == IPPROTO_UDP;
	transport = ip->transport;
	headers = transport + (is_sctp ? sizeof(struct sctp_header) : TRANSPORT_HEADER_MAX);
	if (transport > TRANSPORT_OFFSET_MAX || bpf_skb_pull_data(skb, headers < skb->len ? headers : skb->len))
		return REASON_PASSED_MALFORMED;
	if (is_cut_udp && ip->end - transport < sizeof(struct udphdr)) /* the rest would be padding */
		return REASON_PASSED_MALFORMED;
	packet->tuple.source = ip->source;
	packet->tuple.destination = ip->destination;
	packet->tuple.protocol = ip->protocol;
	packet->length = ip->end - LINK_HEADER_LENGTH;
	cursor.start = (void *)(long)skb->data;
	cursor.end = (void *)(long)skb->data_end;
	cursor.payload = is_cut_udp ? DATAGRAM_MAX : ip->end - transport;
	barrier_var(transport);
	if (transport > TRANSPORT_OFFSET_MAX)
		return REASON_PASSED_MALFORMED;
	cursor.at = cursor.start + transport;
	reason = parse_transport(&cursor, packet);
	return is_sctp && reason == REASON_TRANSLATED ? parse_chunks(skb, 0, packet) : reason;
}

/* Any packet's tuple, wherever its transport header is. @return as parse_skb */
static __always_inline enum reason parse_any(struct __sk_buff *skb, struct packet *packet)
{
	struct ip_header ip;

	if (read_extended(skb, &ip, packet->tuple.family))
		return REASON_PASSED_MALFORMED;
	return parse_extended(skb, &ip, packet);
}

/* Points to the transport header of a packet that was parsed. @return 0, or -1 */
static __always_inline int point_to_transport(struct __sk_buff *skb, const struct packet *packet, struct cursor *cursor)
{
	__u32 transport = packet->transport_offset;
	void *at;

	cursor->start = (void *)(long)skb->data;
	cursor->end = (void *)(long)skb->data_end;
	cursor->payload = LINK_HEADER_LENGTH + packet->length - transport;
	barrier_var(transport);
	if (transport > TRANSPORT_OFFSET_MAX)
		return -1;
	at = cursor->start + transport;
	barrier_var(at); /* one register to Linux 6.1, which knows a bound only of the pointer that was compared */
	cursor->at = at;
	return 0;
}

/*
 * A fragment that cannot be told from one of the stack's datagrams is the stack's; but where the target is an address
 * of virtual services alone, nobody else wants it.
 */
static __always_inline int refuse_fragment(struct __sk_buff *skb, const struct ip_header *ip, enum reason reason,
					   enum family family, enum hook hook)
{
	if (hook == HOOK_EGRESS || is_for_another_host(skb) || !is_hosted(&ip->destination, family))
		reason = REASON_PASSED_FRAGMENT;
	return verdict_of(reason);
}

static __always_inline int handle_later_fragment(struct __sk_buff *skb, const struct ip_header *ip, enum family family,
						 enum hook hook)
{
	struct flow flow = {};
	enum reason reason;
	__u8 flags = 0;

	reason = follow_fragment(skb, ip, family, hook, &flow, &flags);
	if (reason == REASON_TRANSLATED)
		return flags & CONNECTION_OUTSIDE ? leave_to_send(skb, &flow) : send_on(skb, flags);
	if (reason != REASON_PASSED_FRAGMENT)
		return verdict_of(reason);
	if (!is_balanced(ip->protocol) && !is_extension(ip->protocol))
		return TC_ACT_UNSPEC;
	return refuse_fragment(skb, ip, REASON_DROPPED_FRAGMENT_ORPHAN, family, hook);
}

/*
 * Reads a packet, and finishes what does not lead to a connection by its own headers. A function of its own, whose
 * stack is free again when the connection is looked for.
 * @param packet with family and hook
 * @return whether the packet leads to a connection; *verdict otherwise
 */
__noinline int begin_extended(struct __sk_buff *skb, struct packet *packet, struct fragment *fragment, int *verdict)
{
	struct ip_header ip;
	enum family family;
	enum reason reason;
	enum hook hook;

	if (!packet || !fragment || !verdict)
		return 0;
	family = packet->tuple.family;
	hook = packet->tuple.hook;
	*verdict = TC_ACT_UNSPEC;
	if (read_extended(skb, &ip, family)) {
		*verdict = verdict_of(REASON_PASSED_MALFORMED);
		return 0;
	}
	*fragment = ip.fragment;
	if (is_icmp(ip.protocol, family)) {
		*verdict = hand_over_icmp(hook);
		return 0;
	}
	if (fragment->is_later) {
		*verdict = handle_later_fragment(skb, &ip, family, hook);
		return 0;
	}
	if (!is_balanced(ip.protocol))
		return 0;
	reason = parse_extended(skb, &ip, packet);
	if (fragment->is_fragment && (reason != REASON_TRANSLATED || is_malformed(fragment))) {
		*verdict = refuse_fragment(skb, &ip, REASON_DROPPED_FRAGMENT_MALFORMED, family, hook);
		return 0;
	}
	if (reason == REASON_TRANSLATED)
		return 1;
	*verdict = verdict_of(reason);
	return 0;
}

/* The CRC of SCTP takes in how many bytes follow what changes: a first fragment does not know that. */
static __always_inline int is_crc_unknown(const struct packet *packet, const struct fragment *fragment,
					  const struct connection *connection)
{
	return fragment->is_fragment && packet->tuple.protocol == IPPROTO_SCTP &&
	       (connection->client_port != connection->source_port ||
		connection->virtual_port != connection->destination_port);
}

#define MAY_LEAVE 0

/*
 * Whether a packet may leave by an uplink, as send_out asks: here with what is known of the next hop, as looking it up
 * takes stack.
 * @return MAY_LEAVE, or a verdict
 */
static __always_inline int judge_leaving(struct __sk_buff *skb, const struct cursor *cursor,
					 const struct packet *packet, const struct flow *flow)
{
	const struct next_hop *hop = young_hop_of(flow);
	__u32 mtu;

	if (!hop)
		return hand_over_to(HANDLER_UPLINK);
	if (is_at_last_hop(cursor, packet->tuple.family))
		return hand_over_to(HANDLER_TIME_EXCEEDED);
	if (fits_device(skb, hop->ifindex, packet->length, &mtu))
		return MAY_LEAVE;
	skb->cb[0] = mtu;
	return hand_over_to(HANDLER_TOO_BIG);
}

/*
 * Finishes what leads to a connection. A function of its own, and it leaves sending to its caller, for the sake of the
 * stack.
 */
static __noinline int finish_extended(struct __sk_buff *skb, const struct packet *packet,
				      const struct fragment *fragment)
{
	enum hook hook = packet->tuple.hook;
	struct connection *connection;
	int verdict = MAY_LEAVE;
	struct cursor cursor;
	enum reason reason;
	struct flow flow;

	if (point_to_transport(skb, packet, &cursor))
		return TC_ACT_UNSPEC;
	connection = connection_for(skb, packet, &flow, hook, &reason);
	if (reason == BEGINS_AT_UPLINK)
		return hand_over_to(HANDLER_UPLINK);
	if (reason == BEGINS_ONE_PACKET && !fragment->is_fragment)
		return hand_over_to(HANDLER_ONE_PACKET);
	if (reason == BEGINS_ONE_PACKET) /* nothing would remember where the rest of it has to go */
		reason = REASON_DROPPED_FRAGMENT_ORPHAN;
	if (!connection && reason == REASON_PASSED_NOT_OURS) {
		if (fragment->is_fragment)
			forget_fragment(&packet->tuple, fragment);
		return TC_ACT_UNSPEC;
	}
	if (connection && is_crc_unknown(packet, fragment, connection)) {
		if (connection->state == STATE_SCTP_NONE) /* just opened, for a packet that does not go on */
			remove_connection(flow.connection, flow.generation);
		reason = REASON_DROPPED_REWRITE_FAILED;
		connection = NULL;
	}
	if (connection && connection->flags & CONNECTION_OUTSIDE)
		verdict = judge_leaving(skb, &cursor, packet, &flow);
	if (verdict == hand_over_to(HANDLER_UPLINK))
		return verdict;
	if (fragment->is_fragment)
		remember_fragment(&packet->tuple, fragment, connection && verdict == MAY_LEAVE ? &flow : NULL);
	if (!connection)
		return verdict_of(reason);
	if (verdict != MAY_LEAVE)
		return verdict;
	if (!(connection->flags & CONNECTION_OUTSIDE))
		return forward(skb, &cursor, packet, connection, &flow, packet->tuple.family);
	if (advance_connection(connection, packet, &flow, now_ns()))
		return TC_ACT_UNSPEC;
	if (translate(skb, &cursor, packet, connection, &flow, packet->tuple.family))
		return verdict_of(REASON_DROPPED_REWRITE_FAILED);
	return leave_to_send(skb, &flow);
}

static __always_inline int handle_extended(struct __sk_buff *skb, enum family family, enum hook hook)
{
	struct packet packet = { .tuple.family = family, .tuple.hook = hook, .mark = skb->mark };
	struct fragment fragment = {};
	int verdict = TC_ACT_UNSPEC;

	if (begin_extended(skb, &packet, &fragment, &verdict))
		verdict = finish_extended(skb, &packet, &fragment);
	return verdict;
}

#endif
