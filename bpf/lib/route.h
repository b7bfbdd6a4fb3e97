// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The next hops of packets that are sent straight out, not up the stack. */
#ifndef BPVS_ROUTE_H
#define BPVS_ROUTE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "clock.h"
#include "l2.h"
#include "maps.h"
#include "parse.h"
#include "stats.h"
#include "tuple.h"

#define AF_INET 2
#define AF_INET6 10

/* How old a next hop may be: a look-up costs three times a translation. */
#define NEXT_HOP_LIFETIME_NS (1000ULL * 1000 * 1000)

static __always_inline void fill_lookup(struct bpf_fib_lookup *lookup, const struct tuple *tuple, __u32 ifindex)
{
	__builtin_memset(lookup, 0, sizeof(*lookup));
	lookup->ifindex = ifindex;
	lookup->l4_protocol = tuple->protocol;
	lookup->sport = tuple->source_port;
	lookup->dport = tuple->destination_port;
	if (tuple->family == FAMILY_IPV4) {
		lookup->family = AF_INET;
		lookup->ipv4_src = tuple->source.words[0];
		lookup->ipv4_dst = tuple->destination.words[0];
		return;
	}
	lookup->family = AF_INET6;
	__builtin_memcpy(lookup->ipv6_src, &tuple->source, sizeof(struct address));
	__builtin_memcpy(lookup->ipv6_dst, &tuple->destination, sizeof(struct address));
}

/* A gateway of IPv6 may serve IPv4 (RFC 5549). On link, the gateway is the receiver itself. */
static __always_inline void fill_hop(struct next_hop *hop, const struct bpf_fib_lookup *lookup, int has_link_addresses)
{
	hop->ifindex = lookup->ifindex;
	hop->gateway_family = lookup->family == AF_INET ? FAMILY_IPV4 : FAMILY_IPV6;
	hop->has_link_addresses = has_link_addresses;
	__builtin_memcpy(&hop->gateway, lookup->ipv6_dst, sizeof(hop->gateway));
	__builtin_memcpy(hop->link_source, lookup->smac, ETH_ALEN);
	__builtin_memcpy(hop->link_destination, lookup->dmac, ETH_ALEN);
	/* Last: XDP takes what is young for whole. */
	*(volatile __u64 *)&hop->checked = now_ns();
}

/*
 * Asks the kernel for the route of a packet that came in by a device.
 * @return REASON_TRANSLATED; REASON_PASSED_NOT_OURS where it would be delivered to this host, or not be forwarded at
 * all, as the stack finds out; REASON_DROPPED_NO_ROUTE
 */
static __always_inline enum reason look_up_route(void *ctx, const struct tuple *tuple, __u32 ifindex,
						 struct next_hop *hop)
{
	struct bpf_fib_lookup lookup;
	long result;

	fill_lookup(&lookup, tuple, ifindex);
	result = bpf_fib_lookup(ctx, &lookup, sizeof(lookup), 0);
	switch (result) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
	case BPF_FIB_LKUP_RET_FRAG_NEEDED: /* a success about a packet that is longer than the device's MTU */
		fill_hop(hop, &lookup, result != BPF_FIB_LKUP_RET_NO_NEIGH);
		return REASON_TRANSLATED;
	case BPF_FIB_LKUP_RET_BLACKHOLE:
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
		return REASON_DROPPED_NO_ROUTE;
	default:
		return REASON_PASSED_NOT_OURS;
	}
}

/* How the stack would route it: to the destination as from the client, to the client as from the destination. */
static __always_inline void route_tuple(struct tuple *tuple, const struct connection *connection,
					const struct flow *flow)
{
	__u32 index = flow->connection;
	const struct addresses6 *addresses = bpf_map_lookup_elem(&addresses6, &index);
	int is_request = flow->direction == DIRECTION_REQUEST;

	*tuple = (struct tuple){
		.source_port = is_request ? connection->client_port : connection->destination_port,
		.destination_port = is_request ? connection->destination_port : connection->client_port,
		.family = family_of(connection),
		.protocol = connection->protocol,
	};
	if (tuple->family == FAMILY_IPV4) {
		tuple->source.words[0] = is_request ? connection->client : connection->destination;
		tuple->destination.words[0] = is_request ? connection->destination : connection->client;
	} else if (addresses) {
		tuple->source = is_request ? addresses->client : addresses->destination;
		tuple->destination = is_request ? addresses->destination : addresses->client;
	}
}

static __noinline enum reason renew_hop(void *ctx, __u32 ifindex, const struct flow *flow, struct next_hop *hop)
{
	__u32 index = flow->connection;
	const struct connection *connection = bpf_map_lookup_elem(&connections, &index);
	struct tuple tuple;
	enum reason reason;

	if (!connection || !hop)
		return REASON_DROPPED_NO_ROUTE;
	route_tuple(&tuple, connection, flow);
	reason = look_up_route(ctx, &tuple, ifindex, hop);
	return reason == REASON_PASSED_NOT_OURS ? REASON_DROPPED_NO_ROUTE : reason;
}

/* The next hop of a flow as it is known; NULL where it has to be asked for (anew). */
static __always_inline const struct next_hop *young_hop_of(const struct flow *flow)
{
	__u32 index = 2 * flow->connection + flow->direction;
	const struct next_hop *hop = bpf_map_lookup_elem(&next_hops, &index);

	return hop && now_ns() - hop->checked <= NEXT_HOP_LIFETIME_NS ? hop : NULL;
}

/* The next hop of a flow, which is asked for anew when it is old. @return NULL when there is no route */
static __always_inline const struct next_hop *next_hop_of(void *ctx, __u32 ifindex, const struct flow *flow)
{
	__u32 index = 2 * flow->connection + flow->direction;
	struct next_hop *hop = bpf_map_lookup_elem(&next_hops, &index);

	if (!hop)
		return NULL;
	if (now_ns() - hop->checked > NEXT_HOP_LIFETIME_NS && renew_hop(ctx, ifindex, flow, hop) != REASON_TRANSLATED)
		return NULL;
	return hop;
}

/*
 * Whether a packet fits a device that it is to leave by. Large packets of GRO are judged by the segments that they will
 * be sent as; of the others, the helper would count the Ethernet header against a device that has none.
 * @param length from the IP header on
 * @param mtu set to the device's
 */
static __always_inline int fits_device(struct __sk_buff *skb, __u32 ifindex, __u32 length, __u32 *mtu)
{
	int is_gso = skb->gso_size != 0;

	*mtu = is_gso ? 0 : length;
	return bpf_check_mtu(skb, ifindex, mtu, 0, is_gso ? BPF_MTU_CHK_SEGS : 0) <= 0;
}

/* Sends a packet out of a device of any kind; the kernel sees to the neighbour. */
static __always_inline int send_to(struct __sk_buff *skb, const struct next_hop *hop)
{
	struct bpf_redir_neigh neighbour = { .nh_family = hop->gateway_family == FAMILY_IPV4 ? AF_INET : AF_INET6 };

	__builtin_memcpy(neighbour.ipv6_nh, &hop->gateway, sizeof(hop->gateway));
	if (ensure_link_header(skb)) {
		count_reason(REASON_DROPPED_REWRITE_FAILED);
		return TC_ACT_SHOT;
	}
	return bpf_redirect_neigh(hop->ifindex, &neighbour, sizeof(neighbour), 0);
}

#endif
