// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Fragments. Only the first one has the ports; it leads to a connection as any packet does and is remembered, so that
 * the others of its datagram can follow it.
 */
#ifndef BPVS_FRAGMENT_H
#define BPVS_FRAGMENT_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "clock.h"
#include "conn.h"
#include "ip.h"
#include "maps.h"

/* net.ipv4.ipfrag_time: how long the kernel waits for all of a datagram */
#define FRAGMENT_TIMEOUT_NS (30 * 1000000000ULL)
#define DATAGRAM_MAX 0xffff

/* RFC 791: with the protocol. RFC 8200, 4.5: without, as the fragments of a datagram may differ in it. */
static __always_inline void fragment_key_of(struct fragment_key *key, const struct address *source,
					    const struct address *destination, __be32 id, __u8 protocol,
					    enum family family, enum hook hook)
{
	*key = (struct fragment_key){
		.source = *source,
		.destination = *destination,
		.id = id,
		.protocol = family == FAMILY_IPV4 ? protocol : 0,
		.family = family,
		.hook = hook,
	};
}

/*
 * A fragment that no honest sender makes: empty, with more behind it and not a multiple of 8 bytes long, or reaching
 * beyond the longest datagram.
 */
static __always_inline int is_malformed(const struct fragment *fragment)
{
	return fragment->end <= fragment->begin || fragment->end > DATAGRAM_MAX ||
	       (!fragment->is_last && fragment->end % FRAGMENT_UNIT);
}

/*
 * Remembers a first fragment. Whatever its key led to before is forgotten: identifications come again, in IPv4 after
 * 65,536 datagrams.
 * @param flow of its connection, or NULL for a datagram that goes nowhere
 */
static __noinline int remember_fragment(const struct tuple *tuple, const struct fragment *fragment,
					const struct flow *flow)
{
	struct fragmented_datagram datagram = {};
	struct fragment_key key;

	if (!tuple || !fragment)
		return -1;
	datagram.expires = now_ns() + FRAGMENT_TIMEOUT_NS;
	datagram.covered = fragment->end;
	if (flow)
		datagram.flow = *flow;
	fragment_key_of(&key, &tuple->source, &tuple->destination, fragment->id, tuple->protocol, tuple->family,
			tuple->hook);
	return bpf_map_update_elem(&fragments, &key, &datagram, BPF_ANY);
}

/* The key may have led to a datagram of before; this one's first fragment leads nowhere. */
static __noinline int forget_fragment(const struct tuple *tuple, const struct fragment *fragment)
{
	struct fragment_key key;

	if (!tuple || !fragment)
		return -1;
	fragment_key_of(&key, &tuple->source, &tuple->destination, fragment->id, tuple->protocol, tuple->family,
			tuple->hook);
	return bpf_map_delete_elem(&fragments, &key);
}

/*
 * Notes that a later fragment has come.
 * @return whether it begins before the end of what has come so far without a gap. What comes behind a gap is not
 * noted: the receiver finds overlaps there (RFC 5722; net/ipv4/inet_fragment.c: inet_frag_queue_insert).
 */
static __always_inline int cover_datagram(struct fragmented_datagram *datagram, const struct fragment *fragment)
{
	return __sync_val_compare_and_swap(&datagram->covered, fragment->begin, fragment->end) > fragment->begin;
}

/* Gives a later fragment the addresses that its first one got. There are no ports in it, and no checksum but IPv4's. */
static __always_inline int write_fragment(struct __sk_buff *skb, const struct ip_header *ip,
					  const struct connection *connection, const struct flow *flow,
					  enum family family)
{
	struct tuple opposite;
	__u32 difference;

	if (flow->direction == DIRECTION_REQUEST)
		reply_tuple(&opposite, connection, flow->connection, family);
	else
		request_tuple(&opposite, connection, flow->connection, family);
	if (write_addresses(skb, LINK_HEADER_LENGTH, family, ip, &opposite.destination, &opposite.source, &difference))
		return -1;
	if (family == FAMILY_IPV6) /* no header checksum balances skb->csum */
		bpf_csum_update(skb, difference);
	return is_of_generation(connection, flow) ? 0 : -1;
}

/*
 * Lets a later fragment follow its first one.
 * @return REASON_TRANSLATED with *flow and the connection's flags; REASON_PASSED_FRAGMENT where no first one is known;
 * or why it is dropped
 */
static __always_inline enum reason follow_fragment(struct __sk_buff *skb, const struct ip_header *ip,
						   enum family family, enum hook hook, struct flow *flow, __u8 *flags)
{
	const struct fragment *fragment = &ip->fragment;
	struct fragmented_datagram *datagram;
	struct connection *connection;
	struct fragment_key key;

	fragment_key_of(&key, &ip->source, &ip->destination, fragment->id, ip->protocol, family, hook);
	datagram = bpf_map_lookup_elem(&fragments, &key);
	if (!datagram || datagram->expires < now_ns())
		return REASON_PASSED_FRAGMENT;
	*flow = datagram->flow;
	if (is_malformed(fragment))
		return REASON_DROPPED_FRAGMENT_MALFORMED;
	if (cover_datagram(datagram, fragment))
		return REASON_DROPPED_FRAGMENT_OVERLAP;
	/* All of it has come: nothing else of this datagram will. */
	if (fragment->is_last && datagram->covered == fragment->end)
		bpf_map_delete_elem(&fragments, &key);
	connection = connection_of(flow);
	if (!connection)
		return REASON_DROPPED_FRAGMENT_ORPHAN;
	*flags = connection->flags;
	count_packet(connection, flow->direction, ip->end - LINK_HEADER_LENGTH);
	return write_fragment(skb, ip, connection, flow, family) ? REASON_DROPPED_REWRITE_FAILED : REASON_TRANSLATED;
}

#endif
