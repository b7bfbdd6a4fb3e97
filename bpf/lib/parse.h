// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From bytes to a struct packet. Whatever is not a whole, sane TCP, UDP or SCTP packet is left alone. */
#ifndef BPVS_PARSE_H
#define BPVS_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"
#include "likely.h"
#include "link.h"
#include "sctp.h"

#define IPV4_FRAGMENT_MASK 0x3fff /* more fragments, or an offset */
#define PORTS_SIZE 4

/* The bytes of a packet that a program may touch; each parse step moves `at` on. */
struct cursor {
	void *start;
	void *at;
	void *end;
	__u32 payload; /* bytes that the network header says are behind it */
};

enum tcp_event {
	TCP_EVENT_RST,
	TCP_EVENT_SYN,
	TCP_EVENT_FIN,
	TCP_EVENT_ACK,
	TCP_EVENT_NONE,
	TCP_EVENT_COUNT,
};

/* One direction of a connection, as a packet shows it. */
struct tuple {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 family;
	__u8 protocol;
	__u8 hook;
	__u8 padding;
};

/* A parsed packet. */
struct packet {
	struct tuple tuple;
	__u8 event;          /* enum tcp_event, enum sctp_event */
	__u8 has_syn : 1;    /* or an SCTP INIT */
	__u8 is_outside : 1; /* it came in by an uplink: set where a connection is opened */
	__u16 transport_offset;
	__u32 length; /* bytes from the IP header on */
	__u32 mark;   /* netfilter's and tc's, 0: none */
};

/* TCP's flags as they are in the byte at this offset (RFC 9293, 3.1). */
#define TCP_FLAGS_OFFSET 13
#define TCP_FIN (1 << 0)
#define TCP_SYN (1 << 1)
#define TCP_RST (1 << 2)
#define TCP_ACK (1 << 4)

/* Four bits of a constant for each set of the first three flags, and eight more with ACK: a table that is in no memory.
 */
#define TCP_EVENT_AT(flags, event) ((__u64)(event) << 4 * (flags))

#define WITH_ACK 8

/* The order of net/netfilter/ipvs/ip_vs_proto_tcp.c: reset, then SYN, FIN, ACK. */
#define TCP_EVENTS                                                                                                     \
	(TCP_EVENT_AT(0, TCP_EVENT_NONE) | TCP_EVENT_AT(WITH_ACK, TCP_EVENT_ACK) |                                     \
	 TCP_EVENT_AT(TCP_FIN, TCP_EVENT_FIN) | TCP_EVENT_AT(WITH_ACK | TCP_FIN, TCP_EVENT_FIN) |                      \
	 TCP_EVENT_AT(TCP_SYN, TCP_EVENT_SYN) | TCP_EVENT_AT(TCP_SYN | TCP_FIN, TCP_EVENT_SYN) |                       \
	 TCP_EVENT_AT(WITH_ACK | TCP_SYN, TCP_EVENT_SYN) | TCP_EVENT_AT(WITH_ACK | TCP_SYN | TCP_FIN, TCP_EVENT_SYN))

_Static_assert(TCP_EVENT_RST == 0, "all other sets of flags have the reset");
_Static_assert(TCP_EVENT_COUNT <= 16, "an event has four bits");

static __always_inline __u8 tcp_event_of(__u8 flags)
{
	__u32 set = (flags & (TCP_FIN | TCP_SYN | TCP_RST)) | (flags & TCP_ACK ? WITH_ACK : 0);

	return TCP_EVENTS >> 4 * set & 15;
}

static __always_inline int is_balanced(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* The second step: ports, and what a TCP segment is. */
static __always_inline enum reason parse_transport(struct cursor *cursor, struct packet *packet)
{
	packet->transport_offset = cursor->at - cursor->start;
	if (likely(packet->tuple.protocol == IPPROTO_TCP)) {
		const struct tcphdr *tcp = cursor->at;
		__u8 flags;

		if (unlikely((void *)(tcp + 1) > cursor->end || tcp->doff < 5 || tcp->doff * 4u > cursor->payload))
			return REASON_PASSED_MALFORMED;
		packet->tuple.source_port = tcp->source;
		packet->tuple.destination_port = tcp->dest;
		flags = ((const __u8 *)tcp)[TCP_FLAGS_OFFSET];
		packet->event = tcp_event_of(flags);
		packet->has_syn = !!(flags & TCP_SYN);
		return REASON_TRANSLATED;
	}
	if (packet->tuple.protocol == IPPROTO_UDP) {
		const struct udphdr *udp = cursor->at;

		if ((void *)(udp + 1) > cursor->end || bpf_ntohs(udp->len) < sizeof(*udp) ||
		    bpf_ntohs(udp->len) > cursor->payload)
			return REASON_PASSED_MALFORMED;
		packet->tuple.source_port = udp->source;
		packet->tuple.destination_port = udp->dest;
		return REASON_TRANSLATED;
	}
	if (packet->tuple.protocol == IPPROTO_SCTP) {
		const struct sctp_header *sctp = cursor->at;

		if ((void *)(sctp + 1) > cursor->end || sizeof(*sctp) + sizeof(struct sctp_chunk) > cursor->payload)
			return REASON_PASSED_MALFORMED;
		packet->tuple.source_port = sctp->source;
		packet->tuple.destination_port = sctp->dest;
		return REASON_TRANSLATED;
	}
	return REASON_PASSED_NOT_OURS;
}

/*
 * `wire_length` is the length of the whole packet from the IP header on, linear or not. For a GSO packet it, too, is
 * what the header says, unless that has no room for it (BIG TCP: 0).
 */
static __always_inline enum reason parse_ipv4(struct cursor *cursor, struct packet *packet, __u32 wire_length)
{
	const struct iphdr *ip = cursor->at;
	__u32 header_length, total_length;

	if (unlikely((void *)(ip + 1) > cursor->end || ip->version != 4 || ip->ihl < 5))
		return REASON_PASSED_MALFORMED;
	packet->tuple.protocol = ip->protocol;
	if (unlikely(!is_balanced(packet->tuple.protocol)))
		return REASON_PASSED_NOT_OURS;
	if (unlikely(ip->frag_off & bpf_htons(IPV4_FRAGMENT_MASK)))
		return REASON_PASSED_FRAGMENT;
	header_length = ip->ihl * 4;
	total_length = bpf_ntohs(ip->tot_len);
	if (unlikely(total_length == 0))
		total_length = wire_length;
	if (unlikely(total_length < header_length || total_length > wire_length))
		return REASON_PASSED_MALFORMED;
	packet->tuple.source.words[0] = ip->saddr;
	packet->tuple.destination.words[0] = ip->daddr;
	packet->length = total_length;
	cursor->at += header_length;
	cursor->payload = total_length - header_length;
	return REASON_TRANSLATED;
}

static __always_inline enum reason parse_ipv6(struct cursor *cursor, struct packet *packet, __u32 wire_length)
{
	const struct ipv6hdr *ip = cursor->at;
	__u32 payload_length;

	if (unlikely((void *)(ip + 1) > cursor->end || ip->version != 6))
		return REASON_PASSED_MALFORMED;
	packet->tuple.protocol = ip->nexthdr;
	if (unlikely(packet->tuple.protocol == IPPROTO_FRAGMENT))
		return REASON_PASSED_FRAGMENT;
	if (unlikely(!is_balanced(packet->tuple.protocol)))
		return REASON_PASSED_NOT_OURS;
	payload_length = bpf_ntohs(ip->payload_len);
	if (unlikely(payload_length == 0))
		payload_length = wire_length - sizeof(*ip);
	if (unlikely(payload_length + sizeof(*ip) > wire_length))
		return REASON_PASSED_MALFORMED;
	__builtin_memcpy(&packet->tuple.source, &ip->saddr, sizeof(packet->tuple.source));
	__builtin_memcpy(&packet->tuple.destination, &ip->daddr, sizeof(packet->tuple.destination));
	packet->length = payload_length + sizeof(*ip);
	cursor->at = (void *)(ip + 1);
	cursor->payload = payload_length;
	return REASON_TRANSLATED;
}

/* What an IP header is followed by; IPPROTO_RAW where it cannot be read. */
static __always_inline __u8 protocol_of(const void *frame, const void *end, enum family family)
{
	const struct iphdr *ip = frame + LINK_HEADER_LENGTH;
	const struct ipv6hdr *ip6 = frame + LINK_HEADER_LENGTH;

	if (family == FAMILY_IPV4)
		return (void *)(ip + 1) <= end ? ip->protocol : IPPROTO_RAW;
	return (void *)(ip6 + 1) <= end ? ip6->nexthdr : IPPROTO_RAW;
}

/* A router would not send the packet on. */
static __always_inline int is_at_last_hop(const struct cursor *cursor, enum family family)
{
	const struct iphdr *ip = cursor->start + LINK_HEADER_LENGTH;
	const struct ipv6hdr *ip6 = cursor->start + LINK_HEADER_LENGTH;

	if (family == FAMILY_IPV4)
		return (void *)(ip + 1) <= cursor->end && ip->ttl <= 1;
	return (void *)(ip6 + 1) <= cursor->end && ip6->hop_limit <= 1;
}

/* The first step: who talks to whom. `family` is a constant at every call, so that each family gets code of its own. */
static __always_inline enum reason parse_network(struct cursor *cursor, struct packet *packet, enum family family,
						 __u32 wire_length)
{
	packet->tuple.family = family;
	return family == FAMILY_IPV4 ? parse_ipv4(cursor, packet, wire_length)
				     : parse_ipv6(cursor, packet, wire_length);
}

static __always_inline long load_chunk(void *context, int is_xdp, __u32 at, struct sctp_chunk *chunk)
{
	return is_xdp ? bpf_xdp_load_bytes(context, at, chunk, sizeof(*chunk))
		      : bpf_skb_load_bytes(context, at, chunk, sizeof(*chunk));
}

/*
 * The third step, of SCTP: what the packet is. Only its first chunk counts, except that an ABORT may be bundled behind
 * a COOKIE-ECHO or COOKIE-ACK (ip_vs_proto_sctp.c: set_sctp_state). Chunks are not pulled in to be read: those of a GSO
 * packet are a list of buffers, one a packet to be, and skb_segment ends the kernel where some of a first one is
 * missing.
 * @param context a socket buffer's, or that of an XDP program
 */
static __always_inline enum reason parse_chunks(void *context, int is_xdp, struct packet *packet)
{
	__u32 at = packet->transport_offset + sizeof(struct sctp_header), end = LINK_HEADER_LENGTH + packet->length,
	      length;
	struct sctp_chunk chunk;

	if (load_chunk(context, is_xdp, at, &chunk))
		return REASON_PASSED_MALFORMED;
	packet->event = sctp_event_of(chunk.type);
	packet->has_syn = packet->event == SCTP_EVENT_INIT;
	if (packet->event != SCTP_EVENT_COOKIE_ECHO && packet->event != SCTP_EVENT_COOKIE_ACK)
		return REASON_TRANSLATED;
	length = bpf_ntohs(chunk.length);
	at += (length + SCTP_CHUNK_ALIGNMENT - 1) & ~(SCTP_CHUNK_ALIGNMENT - 1);
	if (length >= sizeof(chunk) && at + sizeof(chunk) <= end && !load_chunk(context, is_xdp, at, &chunk) &&
	    sctp_event_of(chunk.type) == SCTP_EVENT_ABORT)
		packet->event = SCTP_EVENT_ABORT;
	return REASON_TRANSLATED;
}

#endif
