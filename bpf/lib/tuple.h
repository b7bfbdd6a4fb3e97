// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A connection's two directions, as packets show them. */
#ifndef BPVS_TUPLE_H
#define BPVS_TUPLE_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "address.h"
#include "maps.h"
#include "parse.h"

static __always_inline enum family family_of(const struct connection *connection)
{
	return connection->flags & CONNECTION_IPV6 ? FAMILY_IPV6 : FAMILY_IPV4;
}

/* Where a destination's packets are met. */
static __always_inline enum hook reply_hook_of(const struct connection *connection)
{
	return connection->flags & (CONNECTION_HAIRPIN | CONNECTION_OUTSIDE) ? HOOK_INGRESS : HOOK_EGRESS;
}

/*
 * Whether both of its flows are at home in one bucket, see lib/flow.h: the destination sees the client as it is, which
 * no connection does whose reply is met at ingress (CONNECTION_OUTSIDE, CONNECTION_HAIRPIN).
 */
static __always_inline int shares_bucket(const struct connection *connection)
{
	return !(connection->flags & CONNECTION_SOURCE_CHANGED);
}

/* A client's packets as they are met. A constant family makes it short. */
static __always_inline void request_tuple(struct tuple *tuple, const struct connection *connection, __u32 index,
					  enum family family)
{
	const struct addresses6 *addresses;

	*tuple = (struct tuple){
		.source_port = connection->client_port,
		.destination_port = connection->virtual_port,
		.family = family,
		.protocol = connection->protocol,
		.hook = HOOK_INGRESS,
	};
	if (family == FAMILY_IPV4) {
		tuple->source.words[0] = connection->client;
		tuple->destination.words[0] = connection->virtual;
		return;
	}
	addresses = bpf_map_lookup_elem(&addresses6, &index);
	if (addresses) {
		tuple->source = addresses->client;
		tuple->destination = addresses->virtual;
	}
}

/* A destination's packets as they are met. */
static __always_inline void reply_tuple(struct tuple *tuple, const struct connection *connection, __u32 index,
					enum family family)
{
	const struct addresses6 *addresses;

	*tuple = (struct tuple){
		.source_port = connection->destination_port,
		.destination_port = connection->source_port,
		.family = family,
		.protocol = connection->protocol,
		.hook = reply_hook_of(connection),
	};
	if (family == FAMILY_IPV4) {
		tuple->source.words[0] = connection->destination;
		tuple->destination.words[0] = connection->source;
		return;
	}
	addresses = bpf_map_lookup_elem(&addresses6, &index);
	if (addresses) {
		tuple->source = addresses->destination;
		tuple->destination = addresses->source;
	}
}

/* Whether a packet with this tuple, whose family is given, goes this way of this connection. */
static __always_inline int has_tuple(const struct connection *connection, __u32 index, enum direction direction,
				     const struct tuple *tuple, enum family family)
{
	const struct addresses6 *addresses;

	if (connection->protocol != tuple->protocol || family_of(connection) != family)
		return 0;
	if (direction == DIRECTION_REQUEST) {
		if (tuple->hook != HOOK_INGRESS || connection->client_port != tuple->source_port ||
		    connection->virtual_port != tuple->destination_port)
			return 0;
		if (family == FAMILY_IPV4)
			return connection->client == tuple->source.words[0] &&
			       connection->virtual == tuple->destination.words[0];
		addresses = bpf_map_lookup_elem(&addresses6, &index);
		return addresses && is_same_address(&addresses->client, &tuple->source) &&
		       is_same_address(&addresses->virtual, &tuple->destination);
	}
	if (tuple->hook != reply_hook_of(connection) || connection->destination_port != tuple->source_port ||
	    connection->source_port != tuple->destination_port)
		return 0;
	if (family == FAMILY_IPV4)
		return connection->destination == tuple->source.words[0] &&
		       connection->source == tuple->destination.words[0];
	addresses = bpf_map_lookup_elem(&addresses6, &index);
	return addresses && is_same_address(&addresses->destination, &tuple->source) &&
	       is_same_address(&addresses->source, &tuple->destination);
}

#endif
