// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Connections whose destination is a pod of this node, sent straight to the devices at their ends, past the host's
 * stack. What is not fit for that, or not at the moment, goes up the stack: there it is turned as without.
 */
#ifndef BPVS_LOCAL_H
#define BPVS_LOCAL_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "forward.h"
#include "l2.h"
#include "nat.h"
#include "parse.h"
#include "route.h"
#include "stats.h"
#include "uplink.h"

/* The device that the stack sees a packet come in by: of a bridge's port, the bridge. */
static __always_inline __u32 routed_device(__u32 ifindex)
{
	const __u32 *bridge = bpf_map_lookup_elem(&bridge_ports, &ifindex);

	return bridge ? *bridge : ifindex;
}

static __always_inline enum redirect redirect_by(const struct next_hop *hop)
{
	__u32 ifindex = hop->ifindex;
	const __u32 *kind = bpf_map_lookup_elem(&pod_devices, &ifindex);

	if (!kind)
		return is_uplink(ifindex) ? REDIRECT_NEIGHBOUR : REDIRECT_NONE;
	/* A frame in the pod has the pod's address: until that is known, the kernel asks for it. */
	return *kind == POD_DEVICE_PAIR && hop->has_link_addresses ? REDIRECT_PEER : REDIRECT_NEIGHBOUR;
}

/*
 * Asks for the routes of both directions. Either both are sent straight or none, so that the stack does not see half of
 * a connection.
 * @param there of the flow's direction, @param back of the other one
 */
static __noinline void renew_ways(struct __sk_buff *skb, const struct flow *flow, struct next_hop *there,
				  struct next_hop *back)
{
	struct flow opposite;
	__u32 ifindex = skb->ifindex;
	int is_known;

	if (!flow || !there || !back)
		return;
	opposite = *flow;
	opposite.direction = !flow->direction;
	is_known = renew_hop(skb, routed_device(ifindex), flow, there) == REASON_TRANSLATED &&
		   renew_hop(skb, there->ifindex, &opposite, back) == REASON_TRANSLATED;
	ifindex = flow->direction == DIRECTION_REQUEST ? there->ifindex : back->ifindex;
	if (!bpf_map_lookup_elem(&pod_devices, &ifindex))
		is_known = 0;
	there->redirect = is_known ? redirect_by(there) : REDIRECT_NONE;
	back->redirect = is_known ? redirect_by(back) : REDIRECT_NONE;
	if (!there->redirect || !back->redirect)
		there->redirect = back->redirect = REDIRECT_NONE;
	there->checked = back->checked = now_ns();
	/* Last: an entry of the pool has a new tenant with each generation. */
	*(volatile __u16 *)&there->generation = flow->generation;
	*(volatile __u16 *)&back->generation = flow->generation;
}

/*
 * The way of a packet that may be sent straight. What comes in by another device than its answers leave by is left to
 * the stack and its reverse path filter (RFC 3704), as are frames that are not this host's, or a VLAN's.
 * @return NULL for what goes up the stack
 */
static __always_inline const struct next_hop *straight_way_of(struct __sk_buff *skb, const struct packet *packet,
							      const struct flow *flow, __u64 now)
{
	__u32 index = 2 * flow->connection + flow->direction, opposite = index ^ 1, mtu;
	struct next_hop *there = bpf_map_lookup_elem(&next_hops, &index);
	struct next_hop *back = bpf_map_lookup_elem(&next_hops, &opposite);

	if (!there || !back || skb->vlan_present || is_for_another_host(skb))
		return NULL;
	if (there->generation != flow->generation || now - there->checked > NEXT_HOP_LIFETIME_NS)
		renew_ways(skb, flow, there, back);
	if (there->redirect == REDIRECT_NONE)
		return NULL;
	if (back->ifindex != skb->ifindex && back->ifindex != routed_device(skb->ifindex))
		return NULL;
	/* A pair's other end takes whatever comes. */
	if (there->redirect == REDIRECT_NEIGHBOUR && !fits_device(skb, there->ifindex, packet->length, &mtu))
		return NULL;
	return there;
}

static __always_inline int send_straight(struct __sk_buff *skb, const struct next_hop *hop)
{
	struct ethhdr *ethernet;

	if (hop->redirect != REDIRECT_PEER)
		return send_to(skb, hop);
	if (ensure_link_header(skb)) {
		count_reason(REASON_DROPPED_REWRITE_FAILED);
		return TC_ACT_SHOT;
	}
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	__builtin_memcpy(ethernet->h_dest, hop->link_destination, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, hop->link_source, ETH_ALEN);
	/* A bridge's port takes frames that are for the bridge for another host's, and so would the pod. */
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(hop->ifindex, 0);
}

/* As forward, in lib/forward.h, for packets of both directions at ingress. */
static __always_inline int forward_straight(struct __sk_buff *skb, const struct cursor *cursor,
					    const struct packet *packet, struct connection *connection,
					    const struct flow *flow, enum family family)
{
	const struct next_hop *hop = NULL;
	__u8 flags = connection->flags;
	__u64 now = now_ns();

	if (!(flags & CONNECTION_HAIRPIN) && !is_at_last_hop(cursor, family))
		hop = straight_way_of(skb, packet, flow, now);
	if (!hop && packet->tuple.hook == HOOK_EGRESS)
		return TC_ACT_UNSPEC; /* it is turned at the client's device */
	if (advance_connection(connection, packet, flow, now))
		return TC_ACT_UNSPEC;
	if (hop)
		lower_skb_hop_limit(skb, cursor, family);
	if (translate(skb, cursor, packet, connection, flow, family)) {
		count_reason(REASON_DROPPED_REWRITE_FAILED);
		return TC_ACT_SHOT;
	}
	return hop ? send_straight(skb, hop) : send_on(skb, flags);
}

#endif
