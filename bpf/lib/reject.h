// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Turning a packet that cannot be served, or not be sent on, into the ICMP error that its sender gets. */
#ifndef BPVS_REJECT_H
#define BPVS_REJECT_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "clock.h"
#include "icmp.h"
#include "ip.h"
#include "l2.h"
#include "maps.h"
#include "parse.h"

/* net.ipv4.icmp_msgs_per_sec and icmp_msgs_burst: the kernel's own limits, for both families together. */
#define REJECTS_PER_SECOND 10000
#define REJECTS_BURST 50

/* How much of the packet is sent back: the IP header, its options and what a client needs to know its socket by. */
#define QUOTE_MAX 96

/* The part of a checksum that IPv6 takes from its header. */
struct pseudo_header6 {
	struct address source;
	struct address destination;
	__be32 length;
	__be32 next_header;
};

static __always_inline int take_reject_token(void)
{
	__u32 zero = 0, tokens;
	struct shared *state = bpf_map_lookup_elem(&shared, &zero);
	__u64 now = now_ns(), elapsed, earned;

	if (!state)
		return 0;
	elapsed = now - state->reject_refilled;
	earned = elapsed / (1000000000ULL / REJECTS_PER_SECOND);
	tokens = state->reject_tokens;
	if (earned) {
		tokens = earned + tokens > REJECTS_BURST ? REJECTS_BURST : earned + tokens;
		state->reject_refilled = now;
	}
	if (!tokens)
		return 0;
	state->reject_tokens = tokens - 1;
	return 1;
}

static __always_inline __sum16 fold_checksum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

struct icmp_quote {
	struct icmp_header icmp;
	__u8 packet[QUOTE_MAX];
};

/* The packet's first bytes behind a new ICMP header. @return how many, or 0 */
static __always_inline __u32 quote_packet(struct __sk_buff *skb, const struct packet *packet, struct icmp_quote *quote)
{
	__u32 length = packet->length;

	__builtin_memset(quote, 0, sizeof(*quote));
	if (length > QUOTE_MAX)
		length = QUOTE_MAX;
	/* One register for both bounds: Linux 6.1's verifier does not learn of one copy what is checked of another. */
	barrier_var(length);
	if (length < sizeof(struct iphdr) || bpf_skb_load_bytes(skb, LINK_HEADER_LENGTH, quote->packet, length))
		return 0;
	return length;
}

/* The packet becomes Ethernet, an IP header, the ICMP header and the quote; the room is made before the IP header. */
static __always_inline int make_room(struct __sk_buff *skb, __u32 length, __u32 header_length)
{
	return bpf_skb_change_tail(skb, LINK_HEADER_LENGTH + length, 0) ||
	       bpf_skb_adjust_room(skb, header_length + sizeof(struct icmp_header), BPF_ADJ_ROOM_MAC, 0);
}

/* Where the transport checksum is in the quote, and what it has to be. */
struct quoted_checksum {
	__u32 offset;
	__sum16 was;
	__sum16 is;
};

/*
 * A checksum that was still partial is completed when the packet leaves, where it stands now in the quote, and would
 * spoil the sum of the ICMP message over it. So it gets the one value that completing does not change: c with c =
 * ~(rest + c), which in ones' complement is half of -rest. Nobody looks at a quoted checksum. SCTP's stays as it is:
 * what hands a packet on without its CRC (veth) takes one back without, too.
 */
static __always_inline int settle_checksum(struct __sk_buff *skb, const struct packet *packet, struct icmp_quote *quote,
					   struct quoted_checksum *checksum)
{
	int is_ipv4 = packet->tuple.family == FAMILY_IPV4;
	__u32 rest;

	checksum->offset = packet->transport_offset - LINK_HEADER_LENGTH +
			   (packet->tuple.protocol == IPPROTO_TCP ? __builtin_offsetof(struct tcphdr, check)
								  : __builtin_offsetof(struct udphdr, check));
	if (bpf_skb_load_bytes(skb, LINK_HEADER_LENGTH + checksum->offset, &checksum->was, sizeof(checksum->was)))
		return -1;
	if (packet->tuple.protocol == IPPROTO_SCTP) {
		checksum->is = checksum->was;
		return 0;
	}
	/* An IPv4 header sums up to nothing. */
	rest = is_ipv4 ? bpf_csum_diff(NULL, 0, (__be32 *)quote->packet, QUOTE_MAX, 0)
		       : bpf_csum_diff(NULL, 0, (__be32 *)(quote->packet + sizeof(struct ipv6hdr)),
				       QUOTE_MAX - sizeof(struct ipv6hdr), 0);
	rest = (__u16)~fold_checksum(rest) + (__u16)~checksum->was;
	checksum->is = (0xffff - rest % 0xffff) * 0x8000 % 0xffff;
	return 0;
}

/* The ICMP message's checksum. @param sum over what it has beside the message itself */
static __always_inline __sum16 checksum_of(const struct icmp_quote *quote, const struct quoted_checksum *checksum,
					   __u32 sum)
{
	sum = bpf_csum_diff(NULL, 0, (__be32 *)quote, sizeof(*quote), sum);
	return fold_checksum((__u16)~fold_checksum(sum) + (__u16)~checksum->was + checksum->is);
}

static __always_inline int write_message(struct __sk_buff *skb, const struct icmp_quote *quote, __u32 length,
					 const struct quoted_checksum *checksum, const void *ip, __u32 ip_length)
{
	__u32 message = LINK_HEADER_LENGTH + ip_length;

	return make_room(skb, length, ip_length) || bpf_skb_store_bytes(skb, LINK_HEADER_LENGTH, ip, ip_length, 0) ||
	       bpf_skb_store_bytes(skb, message, &quote->icmp, sizeof(quote->icmp), 0) ||
	       bpf_skb_store_bytes(skb, message + sizeof(quote->icmp) + checksum->offset, &checksum->is,
				   sizeof(checksum->is), 0);
}

/* @param mtu of the way on, for REASON_REJECTED_TOO_BIG */
static __always_inline void fill_error(struct icmp_header *icmp, enum family family, enum reason why, __u32 mtu)
{
	int is_ipv4 = family == FAMILY_IPV4;

	switch (why) {
	case REASON_REJECTED_TIME_EXCEEDED:
		icmp->type = is_ipv4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEEDED;
		break;
	case REASON_REJECTED_TOO_BIG:
		icmp->type = is_ipv4 ? ICMP_DESTINATION_UNREACHABLE : ICMPV6_PACKET_TOO_BIG;
		icmp->code = is_ipv4 ? ICMP_FRAGMENTATION_NEEDED : 0;
		icmp->rest = bpf_htonl(mtu);
		break;
	default:
		icmp->type = is_ipv4 ? ICMP_DESTINATION_UNREACHABLE : ICMPV6_DESTINATION_UNREACHABLE;
		icmp->code = is_ipv4 ? ICMP_PORT_UNREACHABLE : ICMPV6_PORT_UNREACHABLE;
	}
}

static __always_inline int reject4(struct __sk_buff *skb, const struct packet *packet, struct icmp_quote *quote,
				   __u32 length, const struct quoted_checksum *checksum)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tot_len = bpf_htons(sizeof(ip) + sizeof(quote->icmp) + length),
		.ttl = HOP_LIMIT,
		.protocol = IPPROTO_ICMP,
		.saddr = packet->tuple.destination.words[0],
		.daddr = packet->tuple.source.words[0],
	};

	quote->icmp.checksum = checksum_of(quote, checksum, 0);
	ip.check = fold_checksum(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
	return write_message(skb, quote, length, checksum, &ip, sizeof(ip));
}

static __always_inline int reject6(struct __sk_buff *skb, const struct packet *packet, struct icmp_quote *quote,
				   __u32 length, const struct quoted_checksum *checksum)
{
	struct pseudo_header6 pseudo = {
		.source = packet->tuple.destination,
		.destination = packet->tuple.source,
		.length = bpf_htonl(sizeof(quote->icmp) + length),
		.next_header = bpf_htonl(IPPROTO_ICMPV6),
	};
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = bpf_htons(sizeof(quote->icmp) + length),
		.nexthdr = IPPROTO_ICMPV6,
		.hop_limit = HOP_LIMIT,
	};
	__u32 sum;

	__builtin_memcpy(&ip.saddr, &packet->tuple.destination, sizeof(ip.saddr));
	__builtin_memcpy(&ip.daddr, &packet->tuple.source, sizeof(ip.daddr));
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	quote->icmp.checksum = checksum_of(quote, checksum, sum);
	return write_message(skb, quote, length, checksum, &ip, sizeof(ip));
}

/*
 * The kernel does so for TCP, too: its client fails at once (ip_vs_core.c: ip_vs_leave). The sender named is the
 * virtual address. The packet is ready to be sent back where it came from when this returns `why`.
 */
static __noinline enum reason reject(struct __sk_buff *skb, const struct packet *packet, enum reason why, __u32 mtu)
{
	struct quoted_checksum checksum = {};
	struct icmp_quote quote;
	__u32 length;

	if (!take_reject_token())
		return REASON_DROPPED_REJECT_RATE;
	length = quote_packet(skb, packet, &quote);
	if (!length || settle_checksum(skb, packet, &quote, &checksum))
		return REASON_DROPPED_REJECT_FAILED;
	fill_error(&quote.icmp, packet->tuple.family, why, mtu);
	if (packet->tuple.family == FAMILY_IPV4 ? reject4(skb, packet, &quote, length, &checksum)
						: reject6(skb, packet, &quote, length, &checksum))
		return REASON_DROPPED_REJECT_FAILED;
	if (swap_link_addresses(skb))
		return REASON_DROPPED_REJECT_FAILED;
	return why;
}

#endif
