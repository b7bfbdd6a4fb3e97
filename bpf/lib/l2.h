// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The link header, and whom a frame was for. */
#ifndef BPVS_L2_H
#define BPVS_L2_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <bpf/bpf_helpers.h>
#include "link.h"
#include "maps.h"

/* Turns a frame round: its sender becomes its receiver. */
static __always_inline int swap_link_addresses(struct __sk_buff *skb)
{
	struct ethhdr *ethernet = (void *)(long)skb->data;
	__u8 address[ETH_ALEN];

	if (!LINK_HEADER_LENGTH)
		return 0;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return -1;
	__builtin_memcpy(address, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, address, ETH_ALEN);
	return 0;
}

/* Room for an Ethernet header, of zeros, where the packet has none: what redirects by neighbour wants one. */
static __always_inline int ensure_link_header(struct __sk_buff *skb)
{
	return LINK_HEADER_LENGTH ? 0 : bpf_skb_change_head(skb, ETH_HLEN, 0);
}

/*
 * A frame that was not sent to this host: to all, to many, or seen in passing. At a port of a bridge such a frame may
 * be for the bridge, and so for this host.
 */
static __always_inline int is_for_another_host(const struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;

	if (skb->pkt_type == PACKET_HOST)
		return 0;
	return skb->pkt_type != PACKET_OTHERHOST || !bpf_map_lookup_elem(&bridge_ports, &ifindex);
}

#endif
