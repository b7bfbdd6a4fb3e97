// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The hook at a NIC, before the kernel makes a socket buffer of a frame: requests of outside clients are turned as tc
 * would do it. What it cannot finish it leaves as it is to tc, which follows.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/filter.h"
#include "lib/follow.h"
#include "lib/nat.h"
#include "lib/parse.h"
#include "lib/stats.h"
#include "lib/uplink.h"
#include "lib/xdp_checksum.h"
#include "lib/xdp_send.h"

/* Headers without options or extensions, and where the transport header begins behind them. */
static __always_inline __u32 plain_offset(enum family family)
{
	return ETH_HLEN + (family == FAMILY_IPV4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

/* Longer than any packet, as a length that is asked for only where it matters. */
#define LENGTH_UNKNOWN 0x100000

/* Of a frame of several buffers only the first is seen: it has to hold the headers. */
static __always_inline enum reason parse_frame(struct xdp_md *frame, struct cursor *cursor, struct packet *packet,
					       enum family family)
{
	enum reason reason;

	packet->tuple.hook = HOOK_INGRESS;
	cursor->start = (void *)(long)frame->data;
	cursor->end = (void *)(long)frame->data_end;
	cursor->at = cursor->start + ETH_HLEN;
	reason = parse_network(cursor, packet, family, LENGTH_UNKNOWN);
	if (reason == REASON_TRANSLATED)
		reason = parse_transport(cursor, packet);
	if (reason == REASON_TRANSLATED && packet->tuple.protocol == IPPROTO_SCTP)
		reason = parse_chunks(frame, 1, packet);
	return reason;
}

/* Whether the packet is as long as its header says. */
static __always_inline int is_whole(struct xdp_md *frame, const struct cursor *cursor, const struct packet *packet)
{
	__u32 length = ETH_HLEN + packet->length;

	return length <= cursor->end - cursor->start || length <= bpf_xdp_get_buff_len(frame);
}

static __always_inline int is_for_this_host(const struct xdp_md *frame, const struct cursor *cursor)
{
	const struct ethhdr *ethernet = cursor->start;
	const struct xdp_device *device = xdp_device_of(frame->ingress_ifindex);

	return device && (const void *)(ethernet + 1) <= cursor->end &&
	       !__builtin_memcmp(ethernet->h_dest, device->address, sizeof(device->address));
}

static __always_inline __u32 kinds_of_services(void)
{
	__u32 zero = 0;
	const struct settings *settings_entry = bpf_map_lookup_elem(&settings, &zero);

	return settings_entry ? settings_entry->service_kinds : 0;
}

/* A packet gets its mark by tc, which is also to say whether there is one. */
static __always_inline int may_open_here(const struct xdp_md *frame)
{
	return !is_uplink(frame->ingress_ifindex) && !(kinds_of_services() & SERVICES_OF_MARKS);
}

/*
 * Whether the packet, once translated, would be a request again to tc: its destination may be a virtual address, too,
 * as the node's own are.
 */
static __always_inline int would_be_request(const struct connection *connection, const struct flow *flow,
					    enum family family)
{
	struct service_key key = {
		.port = connection->destination_port,
		.protocol = connection->protocol,
		.family = family,
	};
	__u32 index = flow->connection, kinds = kinds_of_services();

	if (!(kinds & SERVICES_AT_DESTINATIONS))
		return 0;
	if (family == FAMILY_IPV4) {
		key.address.words[0] = connection->destination;
	} else {
		const struct addresses6 *addresses = bpf_map_lookup_elem(&addresses6, &index);

		if (!addresses)
			return 1;
		key.address = addresses->destination;
	}
	return has_address(&virtual_addresses, &key.address) &&
	       (kinds & (SERVICES_OF_FTP | SERVICES_OF_ALL_PORTS) || bpf_map_lookup_elem(&services, &key));
}

/* Hairpins go back out of a device that may not send what was received by XDP. */
static __always_inline int is_for_tc(const struct connection *connection, const struct flow *flow, enum family family)
{
	return flow->direction != DIRECTION_REQUEST || connection->flags & CONNECTION_HAIRPIN ||
	       would_be_request(connection, flow, family);
}

static __always_inline int translate_frame(const struct cursor *cursor, const struct packet *packet,
					   const struct connection *connection, const struct flow *flow,
					   enum family family)
{
	struct differences differences;

	if (write_headers(cursor, connection, flow, family, &differences) ||
	    write_whole_checksum(cursor, packet, &differences))
		return -1;
	return is_of_generation(connection, flow) ? 0 : -1;
}

static __always_inline int forward_frame(const struct cursor *cursor, const struct packet *packet,
					 struct connection *connection, const struct flow *flow, enum family family)
{
	if (is_for_tc(connection, flow, family) || advance_connection(connection, packet, flow, now_ns()))
		return XDP_PASS;
	if (!translate_frame(cursor, packet, connection, flow, family))
		return XDP_PASS;
	count_reason(REASON_DROPPED_REWRITE_FAILED);
	return XDP_DROP;
}

/*
 * As a router does, which answers itself what has no hop left to live: that is tc's. So is a SYN, which may be the
 * answer to a process of this node.
 */
static __always_inline int send_frame(struct xdp_md *frame, const struct cursor *cursor, const struct packet *packet,
				      struct connection *connection, const struct flow *flow, enum family family)
{
	const struct next_hop *hop = NULL;

	if (!packet->has_syn && !is_at_last_hop(cursor, family))
		hop = way_of(frame, packet, flow);
	if (!hop || advance_connection(connection, packet, flow, now_ns()))
		return XDP_PASS;
	lower_hop_limit(cursor, family);
	if (!translate_frame(cursor, packet, connection, flow, family))
		return send_by(frame, cursor, hop);
	count_reason(REASON_DROPPED_REWRITE_FAILED);
	return XDP_DROP;
}

/* No reason is counted for a frame that is left to tc: tc finds and counts it. */
static __always_inline int handle(struct xdp_md *frame, enum family family)
{
	struct packet packet = {};
	struct connection *connection;
	struct cursor cursor;
	enum reason reason;
	struct flow flow;

	if (parse_frame(frame, &cursor, &packet, family) != REASON_TRANSLATED ||
	    packet.transport_offset != plain_offset(family) || !is_whole(frame, &cursor, &packet))
		return XDP_PASS;
	cursor.at = cursor.start + plain_offset(family);
	if (may_be_partial(&cursor, &packet) || !is_for_this_host(frame, &cursor))
		return XDP_PASS;
	connection = known_connection(&packet, &flow, &reason);
	if (!connection && reason == REASON_TRANSLATED && may_open_here(frame))
		connection = new_connection(&packet, &flow, &reason);
	if (!connection)
		return XDP_PASS;
	return connection->flags & CONNECTION_OUTSIDE ? send_frame(frame, &cursor, &packet, connection, &flow, family)
						      : forward_frame(&cursor, &packet, connection, &flow, family);
}

static __noinline int ingress4(struct xdp_md *frame)
{
	return handle(frame, FAMILY_IPV4);
}

static __noinline int ingress6(struct xdp_md *frame)
{
	return handle(frame, FAMILY_IPV6);
}

SEC("xdp.frags")
int xdp_ingress(struct xdp_md *frame)
{
	void *start = (void *)(long)frame->data, *end = (void *)(long)frame->data_end;
	const struct ethhdr *ethernet = start;

	if ((void *)(ethernet + 1) > end)
		return XDP_PASS;
	switch (ethernet->h_proto) {
	case bpf_htons(ETH_P_IP):
		return is_foreign(start, end, FAMILY_IPV4, HOOK_INGRESS) ? XDP_PASS : ingress4(frame);
	case bpf_htons(ETH_P_IPV6):
		return is_foreign(start, end, FAMILY_IPV6, HOOK_INGRESS) ? XDP_PASS : ingress6(frame);
	default:
		return XDP_PASS;
	}
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
