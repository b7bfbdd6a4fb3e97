// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rewriting a packet's addresses and ports in a socket buffer, checksums included. */
#ifndef BPVS_NAT_H
#define BPVS_NAT_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "conn.h"
#include "parse.h"

/* RFC 1624: the sum over an IPv4 header whose addresses change. */
static __always_inline __sum16 adjust_checksum(__sum16 checksum, __u32 difference)
{
	__u64 sum = (__u64)(__u16)~checksum + difference;

	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The tuple that a packet of this direction gets. Its client's side only changes with CONNECTION_SOURCE_CHANGED. */
struct rewrite {
	const struct address *source;
	const struct address *destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 address_difference;
	__u32 port_difference;
	__u8 changes_source;
	__u8 changes_destination;
};

static __always_inline void rewrite_of(struct rewrite *rewrite, const struct connection *connection,
				       enum direction direction)
{
	int is_source_changed = !!(connection->flags & CONNECTION_SOURCE_CHANGED);

	if (direction == DIRECTION_REQUEST)
		*rewrite = (struct rewrite){
			.source = &connection->source,
			.destination = &connection->destination,
			.source_port = connection->source_port,
			.destination_port = connection->destination_port,
			.address_difference = connection->address_difference,
			.port_difference = connection->port_difference,
			.changes_source = is_source_changed,
			.changes_destination = 1,
		};
	else
		*rewrite = (struct rewrite){
			.source = &connection->virtual,
			.destination = &connection->client,
			.source_port = connection->virtual_port,
			.destination_port = connection->client_port,
			.address_difference = ~connection->address_difference,
			.port_difference = ~connection->port_difference,
			.changes_source = 1,
			.changes_destination = is_source_changed,
		};
}

/* The network header and the ports, directly: no helper is called, so the packet pointers stay good. */
static __always_inline int write_headers(const struct cursor *cursor, const struct rewrite *to, enum family family)
{
	struct udphdr *ports = cursor->at; /* TCP, too, begins with them */
	struct iphdr *ip = cursor->start + ETH_HLEN;
	struct ipv6hdr *ip6 = cursor->start + ETH_HLEN;

	if ((void *)(ports + 1) > cursor->end || (void *)(ip + 1) > cursor->end)
		return -1;
	if (family == FAMILY_IPV4) {
		if (to->changes_source)
			ip->saddr = to->source->words[0];
		if (to->changes_destination)
			ip->daddr = to->destination->words[0];
		ip->check = adjust_checksum(ip->check, to->address_difference);
	} else {
		if ((void *)(ip6 + 1) > cursor->end)
			return -1;
		if (to->changes_source)
			__builtin_memcpy(&ip6->saddr, to->source, sizeof(ip6->saddr));
		if (to->changes_destination)
			__builtin_memcpy(&ip6->daddr, to->destination, sizeof(ip6->daddr));
	}
	if (to->changes_source)
		ports->source = to->source_port;
	if (to->changes_destination)
		ports->dest = to->destination_port;
	return 0;
}

/*
 * The transport checksum. Where it is still partial (offloads), it holds only the pseudo header's sum: the addresses
 * change that, the ports do not, hence two calls. A UDP checksum of zero means none and stays zero.
 */
static __always_inline int write_checksum(struct __sk_buff *skb, const struct packet *packet, const struct rewrite *to,
					  enum family family)
{
	int is_tcp = packet->tuple.protocol == IPPROTO_TCP;
	__u32 offset = packet->transport_offset +
		       (is_tcp ? __builtin_offsetof(struct tcphdr, check) : __builtin_offsetof(struct udphdr, check));
	__u64 flags = is_tcp ? 0 : BPF_F_MARK_MANGLED_0;

	if (bpf_l4_csum_replace(skb, offset, 0, to->address_difference, flags | BPF_F_PSEUDO_HDR) ||
	    bpf_l4_csum_replace(skb, offset, 0, to->port_difference, flags))
		return -1;
	/*
	 * With CHECKSUM_COMPLETE the helper takes the difference off skb->csum, which IPv4's header checksum makes
	 * right. IPv6 has none: its addresses are balanced by the transport checksum alone (BPF_F_IPV6 says so, but
	 * only since 6.16).
	 */
	if (family == FAMILY_IPV6)
		bpf_csum_update(skb, to->address_difference);
	return 0;
}

/* Rewrites a packet as its connection says. @return 0, or -1 when it must not leave */
static __always_inline int translate(struct __sk_buff *skb, const struct cursor *cursor, const struct packet *packet,
				     const struct connection *connection, const struct flow *flow, enum family family)
{
	struct rewrite to;

	rewrite_of(&to, connection, flow->direction);
	if (write_headers(cursor, &to, family) || write_checksum(skb, packet, &to, family))
		return -1;
	/* The entry may have ended meanwhile and be another connection's by now. */
	return *(const volatile __u16 *)&connection->generation == flow->generation ? 0 : -1;
}

#endif
