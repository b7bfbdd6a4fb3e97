// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Frames whose connection has both ends outside: sent straight out by XDP, where tc has found the way. */
#ifndef BPVS_XDP_SEND_H
#define BPVS_XDP_SEND_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "nat.h"
#include "route.h"

static __always_inline const struct xdp_device *xdp_device_of(__u32 ifindex)
{
	__u32 place = ifindex & (XDP_DEVICES - 1);
	const struct xdp_device *device = bpf_map_lookup_elem(&xdp_devices, &place);

	return device && device->ifindex == ifindex ? device : NULL;
}

/*
 * The way that tc has found for a flow, while it is young. What else it takes is tc's: to find it anew, to ask for a
 * neighbour, to answer what is too big or too old, and devices that may lose what XDP sends.
 */
static __always_inline const struct next_hop *way_of(struct xdp_md *frame, const struct packet *packet,
						     const struct flow *flow)
{
	__u32 index = 2 * flow->connection + flow->direction, mtu = packet->length;
	const struct next_hop *hop = bpf_map_lookup_elem(&next_hops, &index);
	const struct xdp_device *device;

	if (!hop || !hop->has_link_addresses || now_ns() - hop->checked > NEXT_HOP_LIFETIME_NS)
		return NULL;
	device = xdp_device_of(hop->ifindex);
	return device && device->may_send && bpf_check_mtu(frame, hop->ifindex, &mtu, 0, 0) == 0 ? hop : NULL;
}

static __always_inline int send_by(struct xdp_md *frame, const struct cursor *cursor, const struct next_hop *hop)
{
	struct ethhdr *ethernet = cursor->start;

	if ((void *)(ethernet + 1) > cursor->end)
		return XDP_DROP;
	__builtin_memcpy(ethernet->h_dest, hop->link_destination, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, hop->link_source, ETH_ALEN);
	return hop->ifindex == frame->ingress_ifindex ? XDP_TX : bpf_redirect(hop->ifindex, 0);
}

#endif
