// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * IP headers anywhere in a socket buffer, for rare packets: read and written by helpers, which care for offsets that
 * the verifier cannot follow and for bytes that are not linear.
 */
#ifndef BPVS_IP_H
#define BPVS_IP_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"
#include "checksum.h"
#include "parse.h"

#define IPV4_OFFSET_MASK 0x1fff /* in units of 8 bytes */
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV6_OFFSET_MASK 0xfff8 /* in bytes */
#define IPV6_MORE_FRAGMENTS 0x0001
#define FRAGMENT_UNIT 8
/* More of them in a row than any sender has reason for (RFC 8200, 4.1). */
#define EXTENSION_HEADERS_MAX 5

/* net.ipv4.ip_default_ttl */
#define HOP_LIMIT 64

/* What a fragment brings of its datagram. */
struct fragment {
	__be32 id;
	__u32 begin;
	__u32 end;
	__u8 is_fragment;
	__u8 is_later;
	__u8 is_last;
	__u8 padding;
};

struct ip_header {
	struct address source;
	struct address destination;
	__u32 transport; /* offset of what is behind the header and its extensions */
	__u32 end;       /* offset behind the packet, as the header says */
	struct fragment fragment;
	__u8 protocol;
	__u8 hop_limit;
	__u8 padding[2];
};

/* @param begin bytes of the datagram before it, @param at offset of what it brings */
static __always_inline void set_fragment(struct ip_header *header, __be32 id, __u32 begin, int has_more, __u32 at)
{
	header->fragment = (struct fragment){
		.id = id,
		.begin = begin,
		.end = begin + header->end - at,
		.is_fragment = begin || has_more,
		.is_later = begin != 0,
		.is_last = !has_more,
	};
}

static __always_inline int read_ipv4(struct __sk_buff *skb, __u32 offset, struct ip_header *header)
{
	struct iphdr ip;
	__u16 fragment;

	if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return -1;
	*header = (struct ip_header){
		.source.words[0] = ip.saddr,
		.destination.words[0] = ip.daddr,
		.transport = offset + ip.ihl * 4,
		.end = offset + bpf_ntohs(ip.tot_len),
		.protocol = ip.protocol,
		.hop_limit = ip.ttl,
	};
	fragment = bpf_ntohs(ip.frag_off);
	set_fragment(header, ip.id, (fragment & IPV4_OFFSET_MASK) * FRAGMENT_UNIT, fragment & IPV4_MORE_FRAGMENTS,
		     header->transport);
	return 0;
}

static __always_inline int is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_FRAGMENT ||
	       protocol == IPPROTO_DSTOPTS;
}

/* What RFC 8200 lets stand between the header and the transport. */
struct extension {
	__u8 next;
	__u8 length; /* in units of 8 bytes, without the first; of a fragment header reserved */
	union {
		__be16 fragment;
		struct {
			__u8 type;
			__u8 segments_left;
		} routing;
	};
	__be32 fragment_id;
};

/* AH, ESP and whatever is unknown end the walk, as does a routing header by which the packet is to go on elsewhere. */
static __always_inline int read_ipv6(struct __sk_buff *skb, __u32 offset, struct ip_header *header)
{
	struct extension extension;
	struct ipv6hdr ip;
	int i;

	if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.version != 6)
		return -1;
	*header = (struct ip_header){
		.transport = offset + sizeof(ip),
		.end = offset + sizeof(ip) + bpf_ntohs(ip.payload_len),
		.protocol = ip.nexthdr,
		.hop_limit = ip.hop_limit,
	};
	__builtin_memcpy(&header->source, &ip.saddr, sizeof(header->source));
	__builtin_memcpy(&header->destination, &ip.daddr, sizeof(header->destination));
	for (i = 0; i <= EXTENSION_HEADERS_MAX; i++) {
		if (!is_extension(header->protocol))
			return 0;
		if (bpf_skb_load_bytes(skb, header->transport, &extension, sizeof(extension)))
			return -1;
		if (header->protocol == IPPROTO_ROUTING && extension.routing.segments_left)
			return 0;
		if (header->protocol == IPPROTO_FRAGMENT) {
			__u16 fragment = bpf_ntohs(extension.fragment);

			if (header->fragment.is_fragment)
				return -1;
			header->transport += sizeof(extension);
			set_fragment(header, extension.fragment_id, fragment & IPV6_OFFSET_MASK,
				     fragment & IPV6_MORE_FRAGMENTS, header->transport);
		} else {
			header->transport += sizeof(extension) * (extension.length + 1);
		}
		header->protocol = extension.next;
		if (header->fragment.is_later)
			return 0;
	}
	return -1;
}

/* @return 0, or -1 for what is no IP header or not all there */
static __always_inline int read_ip(struct __sk_buff *skb, __u32 offset, enum family family, struct ip_header *header)
{
	return family == FAMILY_IPV4 ? read_ipv4(skb, offset, header) : read_ipv6(skb, offset, header);
}

/*
 * Gives a header other addresses, and an IPv4 header the checksum for them.
 * @param *difference set to what the addresses add to a checksum over them, folded to 16 bits
 */
static __always_inline int write_addresses(struct __sk_buff *skb, __u32 offset, enum family family,
					   const struct ip_header *before, const struct address *source,
					   const struct address *destination, __u32 *difference)
{
	struct address after[2] = { *source, *destination };
	__sum16 check;

	*difference = fold_sum(difference_of(before->source.words, source->words, 4) +
			       difference_of(before->destination.words, destination->words, 4));
	if (family == FAMILY_IPV6)
		return bpf_skb_store_bytes(skb, offset + __builtin_offsetof(struct ipv6hdr, saddr), after,
					   sizeof(after), 0);
	after[0].words[1] = destination->words[0];
	if (bpf_skb_load_bytes(skb, offset + __builtin_offsetof(struct iphdr, check), &check, sizeof(check)))
		return -1;
	check = adjust_checksum(check, *difference);
	return bpf_skb_store_bytes(skb, offset + __builtin_offsetof(struct iphdr, check), &check, sizeof(check), 0) ||
	       bpf_skb_store_bytes(skb, offset + __builtin_offsetof(struct iphdr, saddr), after, 2 * sizeof(__be32), 0);
}

#endif
