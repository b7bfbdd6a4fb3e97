// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Being the host of a virtual address. Kernel IPVS wants the address to be local, so that the stack answers what IPVS
 * does not take; here it is nobody's, and what a user expects of a host is done by us. The node's own addresses are the
 * stack's business.
 */
#ifndef BPVS_ECHO_H
#define BPVS_ECHO_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "client.h"
#include "hosted.h"
#include "icmp.h"
#include "icmp_error.h"
#include "ip.h"
#include "l2.h"
#include "maps.h"

/*
 * Whether a packet that was sent to a virtual address may be answered in its name: where it enters the node, or where
 * one of a process of the host would leave it.
 */
static __always_inline int may_answer(const struct __sk_buff *skb, const struct tuple *tuple)
{
	return !is_for_another_host(skb) && is_possible_client(tuple) && is_hosted(&tuple->destination, tuple->family);
}

/* Of ICMP messages only echo requests come in fragments, so a later fragment is one's. */
static __always_inline int is_echo_request(const struct icmp_packet *packet, enum family family)
{
	if (packet->ip.fragment.is_later)
		return 1;
	return packet->icmp.type == (family == FAMILY_IPV4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST) &&
	       !packet->icmp.code;
}

/* In an IPv4 header, the checksum makes up for it; IPv6 has none, so skb->csum has to be told. */
static __always_inline int write_hop_limit(struct __sk_buff *skb, const struct ip_header *ip, enum family family)
{
	__u8 hop_limit = HOP_LIMIT;
	__sum16 check;

	if (family == FAMILY_IPV6)
		return bpf_skb_store_bytes(skb, LINK_HEADER_LENGTH + __builtin_offsetof(struct ipv6hdr, hop_limit),
					   &hop_limit, sizeof(hop_limit), BPF_F_RECOMPUTE_CSUM);
	if (bpf_skb_load_bytes(skb, LINK_HEADER_LENGTH + __builtin_offsetof(struct iphdr, check), &check,
			       sizeof(check)))
		return -1;
	check = adjust_checksum(check, (__u16)~bpf_htons(ip->hop_limit << 8) + bpf_htons(hop_limit << 8));
	return bpf_skb_store_bytes(skb, LINK_HEADER_LENGTH + __builtin_offsetof(struct iphdr, check), &check,
				   sizeof(check), 0) ||
	       bpf_skb_store_bytes(skb, LINK_HEADER_LENGTH + __builtin_offsetof(struct iphdr, ttl), &hop_limit,
				   sizeof(hop_limit), 0);
}

static __always_inline int write_echo_reply(struct __sk_buff *skb, const struct icmp_packet *packet, enum family family)
{
	__u8 before = packet->icmp.type, after = family == FAMILY_IPV4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY;
	struct icmp_header icmp = packet->icmp;

	icmp.type = after;
	icmp.checksum = adjust_checksum(icmp.checksum, (__u16)~bpf_htons(before << 8) + bpf_htons(after << 8));
	return bpf_skb_store_bytes(skb, packet->ip.transport, &icmp, sizeof(icmp), 0);
}

/*
 * Makes an echo request its reply, ready to go back where it came from; one in fragments fragment by fragment, as a
 * reply has the same parts. The kernel does not limit the rate of echo replies either (icmp_ratemask).
 */
static __always_inline enum reason answer_echo(struct __sk_buff *skb, const struct icmp_packet *packet,
					       enum family family)
{
	const struct ip_header *ip = &packet->ip;
	__u32 unused;

	if (write_addresses(skb, LINK_HEADER_LENGTH, family, ip, &ip->destination, &ip->source, &unused) ||
	    write_hop_limit(skb, ip, family) || (!ip->fragment.is_later && write_echo_reply(skb, packet, family)) ||
	    swap_link_addresses(skb))
		return REASON_DROPPED_REWRITE_FAILED;
	return REASON_ANSWERED_ECHO;
}

#endif
