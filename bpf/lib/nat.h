// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rewriting a packet's addresses and ports in a socket buffer, checksums included. */
#ifndef BPVS_NAT_H
#define BPVS_NAT_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "checksum.h"
#include "conn.h"
#include "crc32c.h"
#include "offload.h"
#include "parse.h"

/* What a rewrite adds to the transport checksum, whose pseudo header has the addresses. */
struct differences {
	__u32 addresses;
	__u32 ports;
};

static __always_inline __u32 write_address4(__be32 *address, __be32 after)
{
	__u32 difference = difference_of(address, &after, 1);

	*address = after;
	return difference;
}

/* The client's side of a packet only changes with CONNECTION_SOURCE_CHANGED. */
static __always_inline __u32 write_addresses4(struct iphdr *ip, const struct connection *connection,
					      enum direction direction)
{
	int is_source_changed = connection->flags & CONNECTION_SOURCE_CHANGED;
	__u32 difference;

	if (direction == DIRECTION_REQUEST) {
		difference = write_address4(&ip->daddr, connection->destination);
		if (unlikely(is_source_changed))
			difference += write_address4(&ip->saddr, connection->source);
	} else {
		difference = write_address4(&ip->saddr, connection->virtual);
		if (unlikely(is_source_changed))
			difference += write_address4(&ip->daddr, connection->client);
	}
	ip->check = adjust_checksum(ip->check, difference);
	return difference;
}

static __always_inline __u32 write_address6(struct in6_addr *address, const struct address *after)
{
	__u32 difference = difference_of(address->s6_addr32, after->words, 4);

	__builtin_memcpy(address, after, sizeof(*after));
	return difference;
}

static __always_inline __u32 write_addresses6(struct ipv6hdr *ip, const struct addresses6 *addresses,
					      const struct connection *connection, enum direction direction)
{
	int is_source_changed = connection->flags & CONNECTION_SOURCE_CHANGED;
	__u32 difference;

	if (direction == DIRECTION_REQUEST) {
		difference = write_address6(&ip->daddr, &addresses->destination);
		if (is_source_changed)
			difference += write_address6(&ip->saddr, &addresses->source);
	} else {
		difference = write_address6(&ip->saddr, &addresses->virtual);
		if (is_source_changed)
			difference += write_address6(&ip->daddr, &addresses->client);
	}
	return difference;
}

/* TCP and SCTP, too, begin with their ports. */
static __always_inline __u32 write_ports(struct udphdr *ports, const struct connection *connection,
					 enum direction direction)
{
	__be16 source = ports->source, destination = ports->dest;

	if (direction == DIRECTION_REQUEST) {
		ports->source = connection->source_port;
		ports->dest = connection->destination_port;
	} else {
		ports->source = connection->virtual_port;
		ports->dest = connection->client_port;
	}
	return (__u32)(__u16)~source + (__u16)~destination + ports->source + ports->dest;
}

/* Directly: no helper is called, so the packet pointers stay good. */
static __always_inline int write_headers(const struct cursor *cursor, const struct connection *connection,
					 const struct flow *flow, enum family family, struct differences *differences)
{
	struct iphdr *ip = cursor->start + LINK_HEADER_LENGTH;
	struct ipv6hdr *ip6 = cursor->start + LINK_HEADER_LENGTH;
	struct udphdr *ports = cursor->at;
	__u32 index = flow->connection;

	if (unlikely((void *)(ports + 1) > cursor->end || (void *)(ip + 1) > cursor->end))
		return -1;
	if (family == FAMILY_IPV4) {
		differences->addresses = write_addresses4(ip, connection, flow->direction);
	} else {
		const struct addresses6 *addresses = bpf_map_lookup_elem(&addresses6, &index);

		if (!addresses || (void *)(ip6 + 1) > cursor->end)
			return -1;
		differences->addresses = write_addresses6(ip6, addresses, connection, flow->direction);
	}
	differences->ports = write_ports(ports, connection, flow->direction);
	return 0;
}

/*
 * One hop less to live, for what is not sent on by the stack.
 * @return what that adds to a sum over the packet
 */
static __always_inline __u32 lower_hop_limit(const struct cursor *cursor, enum family family)
{
	struct iphdr *ip = cursor->start + LINK_HEADER_LENGTH;
	struct ipv6hdr *ip6 = cursor->start + LINK_HEADER_LENGTH;
	__u32 difference;

	if (family == FAMILY_IPV4) {
		if ((void *)(ip + 1) > cursor->end)
			return 0;
		difference = (__u16)~bpf_htons(ip->ttl << 8) + bpf_htons((ip->ttl - 1) << 8);
		ip->ttl -= 1;
		ip->check = adjust_checksum(ip->check, difference);
		return 0;
	}
	if ((void *)(ip6 + 1) > cursor->end)
		return 0;
	difference = (__u16)~bpf_htons(ip6->hop_limit) + bpf_htons(ip6->hop_limit - 1);
	ip6->hop_limit -= 1;
	return difference;
}

/* The same in a socket buffer: of a sum over all of it, IPv4's header checksum takes care. */
static __always_inline void lower_skb_hop_limit(struct __sk_buff *skb, const struct cursor *cursor, enum family family)
{
	__u32 difference = lower_hop_limit(cursor, family);

	if (family == FAMILY_IPV6)
		bpf_csum_update(skb, difference);
}

/* A UDP checksum of zero means that there is none. It stays zero, and no sum becomes zero. */
static __always_inline void write_field(__sum16 *field, __u32 sum, int is_udp)
{
	if (unlikely(is_udp && !*field))
		return;
	*field = is_udp && !sum ? 0xffff : sum;
}

/* By helpers, which know what the kernel does not say: the addresses change what is partial, the ports do not. */
static __always_inline int replace_checksum(struct __sk_buff *skb, __u32 offset, int is_udp,
					    const struct differences *differences, enum family family)
{
	__u64 flags = is_udp ? BPF_F_MARK_MANGLED_0 : 0;

	if (bpf_l4_csum_replace(skb, offset, 0, differences->addresses, flags | BPF_F_PSEUDO_HDR) ||
	    (differences->ports && bpf_l4_csum_replace(skb, offset, 0, differences->ports, flags)))
		return -1;
	/*
	 * With CHECKSUM_COMPLETE the helper takes the difference off skb->csum, which IPv4's header checksum makes
	 * right. IPv6 has none: its addresses are balanced by the transport checksum alone (BPF_F_IPV6 says so, but
	 * only since 6.16).
	 */
	if (family == FAMILY_IPV6)
		bpf_csum_update(skb, differences->addresses);
	return 0;
}

/* The transport checksum of TCP and UDP. */
static __always_inline int write_checksum(struct __sk_buff *skb, const struct cursor *cursor,
					  const struct packet *packet, const struct differences *differences,
					  enum family family)
{
	int is_udp = packet->tuple.protocol == IPPROTO_UDP;
	__u32 place = is_udp ? __builtin_offsetof(struct udphdr, check) : __builtin_offsetof(struct tcphdr, check);
	__sum16 *field = cursor->at + place;
	__u32 sum;

	if (unlikely((void *)(field + 1) > cursor->end))
		return -1;
	switch (offload_of(skb)) {
	case OFFLOAD_PARTIAL:
		write_field(field, fold_sum(*field + differences->addresses), is_udp);
		return 0;
	case OFFLOAD_NONE:
	case OFFLOAD_UNNECESSARY:
		sum = (__u16) ~*field + differences->addresses + differences->ports;
		write_field(field, (__u16)~fold_sum(sum), is_udp);
		return 0;
	default:
		return replace_checksum(skb, packet->transport_offset + place, is_udp, differences, family);
	}
}

/* Between this machine's order and little-endian. */
static __always_inline __u32 swap_le32(__u32 value)
{
	return __builtin_bswap32(bpf_ntohl(value));
}

/*
 * Whether the packet's checksum is still to be filled in. Where the kernel does not say so, the helper does that leaves
 * the field of such a packet alone: here a field of zero, which it fills with the difference otherwise.
 */
static __always_inline int is_checksum_partial(struct __sk_buff *skb, __u32 offset)
{
	enum offload offload = offload_of(skb);
	__u16 field = 0;

	if (offload != OFFLOAD_UNKNOWN)
		return offload == OFFLOAD_PARTIAL;
	return bpf_l4_csum_replace(skb, offset, 0, 1, 0) == 0 &&
	       bpf_skb_load_bytes(skb, offset, &field, sizeof(field)) == 0 && field == 0;
}

/* SCTP's checksum, a CRC without pseudo header, once the ports are written: they change it, the addresses do not. */
static __always_inline __u32 sctp_checksum_of(const struct sctp_header *sctp, const struct cursor *cursor,
					      const struct packet *packet)
{
	__u32 before, after;

	__builtin_memcpy(&before, &packet->tuple.source_port, sizeof(before));
	__builtin_memcpy(&after, &sctp->source, sizeof(after));
	return sctp->checksum ^ swap_le32(crc32c_difference(swap_le32(before ^ after), cursor->payload));
}

/*
 * Where it is still partial the field is zero and has to stay so: the CRC that is written there takes the field in
 * (skb_crc32c_csum_help).
 */
static __always_inline int write_sctp_checksum(struct __sk_buff *skb, const struct cursor *cursor,
					       const struct packet *packet, const struct differences *differences,
					       enum family family)
{
	__u32 offset = packet->transport_offset + __builtin_offsetof(struct sctp_header, checksum);
	struct sctp_header *sctp = cursor->at;
	__u32 before, after, sum = differences->ports;

	if ((void *)(sctp + 1) > cursor->end)
		return -1;
	before = sctp->checksum;
	after = sctp_checksum_of(sctp, cursor, packet);
	if (before)
		sctp->checksum = after;
	else if (is_checksum_partial(skb, offset))
		return 0;
	else if (bpf_skb_store_bytes(skb, offset, &after, sizeof(after), 0))
		return -1;
	/* CHECKSUM_COMPLETE is a sum over all, in which IPv4's header checksum balances the addresses. */
	sum += difference_of(&before, &after, 1);
	if (family == FAMILY_IPV6)
		sum += differences->addresses;
	bpf_csum_update(skb, sum);
	return 0;
}

/* Rewrites a packet as its connection says. @return 0, or -1 when it must not leave */
static __always_inline int translate(struct __sk_buff *skb, const struct cursor *cursor, const struct packet *packet,
				     const struct connection *connection, const struct flow *flow, enum family family)
{
	struct differences differences;

	if (write_headers(cursor, connection, flow, family, &differences) ||
	    (unlikely(packet->tuple.protocol == IPPROTO_SCTP)
		     ? write_sctp_checksum(skb, cursor, packet, &differences, family)
		     : write_checksum(skb, cursor, packet, &differences, family)))
		return -1;
	return likely(is_of_generation(connection, flow)) ? 0 : -1;
}

#endif
