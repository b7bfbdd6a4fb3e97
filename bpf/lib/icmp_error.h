// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * ICMP errors about packets of a connection. Whoever gets one must find in it the packet as it was sent, so the error
 * is translated with what it quotes (RFC 5508; net/netfilter/ipvs/ip_vs_core.c: ip_vs_nat_icmp).
 */
#ifndef BPVS_ICMP_ERROR_H
#define BPVS_ICMP_ERROR_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "flow.h"
#include "icmp.h"
#include "ip.h"
#include "state.h"
#include "traffic.h"

/* An ICMP message, and of an error also the packet that it quotes. */
struct icmp_packet {
	struct ip_header ip;
	struct icmp_header icmp;
	struct ip_header quoted;
	__be16 ports[2];
};

/* @return whether it is a whole ICMP message or a fragment of one; a later fragment has no ICMP header */
static __always_inline int read_icmp(struct __sk_buff *skb, enum family family, struct icmp_packet *packet)
{
	packet->icmp = (struct icmp_header){};
	if (read_ip(skb, LINK_HEADER_LENGTH, family, &packet->ip) || !is_icmp(packet->ip.protocol, family) ||
	    packet->ip.end > skb->len)
		return 0;
	return packet->ip.fragment.is_later ||
	       !bpf_skb_load_bytes(skb, packet->ip.transport, &packet->icmp, sizeof(packet->icmp));
}

/* @return whether it quotes a packet with its ports, which are in the 8 bytes that RFC 792 asks for */
static __always_inline int read_quote(struct __sk_buff *skb, enum family family, struct icmp_packet *packet)
{
	struct ip_header *quoted = &packet->quoted;

	if (packet->ip.fragment.is_fragment ||
	    read_ip(skb, packet->ip.transport + sizeof(packet->icmp), family, quoted) || quoted->fragment.is_later)
		return 0;
	if (quoted->protocol != IPPROTO_TCP && quoted->protocol != IPPROTO_UDP && quoted->protocol != IPPROTO_SCTP)
		return 0;
	return quoted->transport + sizeof(packet->ports) <= packet->ip.end &&
	       !bpf_skb_load_bytes(skb, quoted->transport, packet->ports, sizeof(packet->ports));
}

/* A packet that would go the way of the error: from the quoted packet's receiver to its sender. */
static __always_inline void tuple_of_error(struct tuple *tuple, const struct icmp_packet *packet, enum family family,
					   enum hook hook)
{
	*tuple = (struct tuple){
		.source = packet->quoted.destination,
		.destination = packet->quoted.source,
		.source_port = packet->ports[1],
		.destination_port = packet->ports[0],
		.family = family,
		.protocol = packet->quoted.protocol,
		.hook = hook,
	};
}

/*
 * The quoted transport checksum, if it is quoted. The kernel's IPVS leaves it as it is, its connection tracking adjusts
 * it; so do we, as programs like traceroute know their probes by it. That of SCTP has no ports in it that could be
 * taken out.
 * @param difference of addresses and ports
 * @return what the change adds to the sum over the message, or -1
 */
static __always_inline int write_quoted_checksum(struct __sk_buff *skb, const struct icmp_packet *packet,
						 __u32 difference)
{
	__u32 offset = packet->quoted.transport;
	__sum16 before, after;

	if (packet->quoted.protocol == IPPROTO_SCTP)
		return 0;
	offset += packet->quoted.protocol == IPPROTO_TCP ? __builtin_offsetof(struct tcphdr, check)
							 : __builtin_offsetof(struct udphdr, check);
	if (offset + sizeof(before) > packet->ip.end)
		return 0;
	if (bpf_skb_load_bytes(skb, offset, &before, sizeof(before)))
		return -1;
	if (packet->quoted.protocol == IPPROTO_UDP && !before)
		return 0;
	after = adjust_checksum(before, difference);
	if (packet->quoted.protocol == IPPROTO_UDP && !after)
		after = 0xffff;
	return bpf_skb_store_bytes(skb, offset, &after, sizeof(after), 0) ? -1 : (__u16)~before + after;
}

/*
 * Makes the quoted packet the one that its sender sent.
 * @return what that adds to the sum over the message, or -1
 */
static __always_inline int write_quote(struct __sk_buff *skb, const struct icmp_packet *packet,
				       const struct tuple *sent, enum family family)
{
	__be16 ports[2] = { sent->source_port, sent->destination_port };
	__u32 addresses, difference;
	int checksum;

	if (write_addresses(skb, packet->ip.transport + sizeof(packet->icmp), family, &packet->quoted, &sent->source,
			    &sent->destination, &addresses) ||
	    bpf_skb_store_bytes(skb, packet->quoted.transport, ports, sizeof(ports), 0))
		return -1;
	difference = (__u16)~packet->ports[0] + (__u16)~packet->ports[1] + ports[0] + ports[1];
	checksum = write_quoted_checksum(skb, packet, addresses + difference);
	if (checksum < 0)
		return -1;
	/* An IPv4 header and its checksum change by as much in opposite ways. */
	return checksum + difference + (family == FAMILY_IPV6 ? addresses : 0);
}

/*
 * Rewrites an error about the packet that was sent as `sent`. Nothing has to be told to skb->csum: all that changes is
 * balanced by a checksum in the packet. A function of its own for the sake of the stack.
 */
static __noinline int write_error(struct __sk_buff *skb, const struct icmp_packet *packet, const struct tuple *sent,
				  const struct address *source, enum family family)
{
	__u32 addresses;
	__sum16 checksum;
	int quote;

	quote = write_quote(skb, packet, sent, family);
	if (quote < 0 ||
	    write_addresses(skb, LINK_HEADER_LENGTH, family, &packet->ip, source, &sent->source, &addresses))
		return -1;
	checksum = adjust_checksum(packet->icmp.checksum,
				   (__u32)quote + (family == FAMILY_IPV6 ? addresses : 0)); /* the pseudo header */
	return bpf_skb_store_bytes(skb, packet->ip.transport + __builtin_offsetof(struct icmp_header, checksum),
				   &checksum, sizeof(checksum), 0);
}

/*
 * Translates an error about a connection's packet. It counts as a packet of the connection, but says nothing of its
 * state. @return REASON_TRANSLATED, with its flow and flags; REASON_PASSED_NOT_OURS; or why it must not leave
 */
static __always_inline enum reason translate_error(struct __sk_buff *skb, const struct icmp_packet *packet,
						   enum family family, enum hook hook, struct flow *flow, __u8 *flags)
{
	const struct address *source = &packet->ip.source;
	struct connection *connection;
	struct tuple tuple;

	if (!is_balanced(packet->quoted.protocol)) /* a template's is none */
		return REASON_PASSED_NOT_OURS;
	tuple_of_error(&tuple, packet, family, hook);
	connection = find_connection(&tuple, flow);
	if (!connection)
		return REASON_PASSED_NOT_OURS;
	if (flow->direction == DIRECTION_REQUEST)
		reply_tuple(&tuple, connection, flow->connection, family);
	else
		request_tuple(&tuple, connection, flow->connection, family);
	*flags = connection->flags;
	/* Another connection may have the entry since. */
	if (!is_of_generation(connection, flow))
		return REASON_PASSED_NOT_OURS;
	count_packet(connection, flow->direction, packet->ip.end - LINK_HEADER_LENGTH);
	/* The sender becomes the virtual address even if it is a router's: what is between may let nothing else
	 * through. */
	if (flow->direction == DIRECTION_REPLY || *flags & CONNECTION_SOURCE_CHANGED)
		source = &tuple.destination;
	if (write_error(skb, packet, &tuple, source, family))
		return REASON_DROPPED_REWRITE_FAILED;
	return REASON_TRANSLATED;
}

#endif
