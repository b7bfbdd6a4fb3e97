// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A packet's way into the connection table. */
#ifndef BPVS_ADMIT_H
#define BPVS_ADMIT_H

#include "conn.h"
#include "schedule.h"

/* How often another source port is tried where the translated tuple is taken. */
#define PORT_TRIES 8
#define FIRST_DYNAMIC_PORT 32768
#define DYNAMIC_PORTS 28232 /* 32768..60999, net.ipv4.ip_local_port_range */

/* Puts a new connection into the ring of the half-open; the oldest one there has to leave if it is still half open. */
static __always_inline void enter_half_open(struct connection *connection, __u32 index)
{
	__u32 zero = 0, place, displaced;
	struct shared *state = bpf_map_lookup_elem(&shared, &zero);
	struct connection *other;
	__u32 *entry;

	if (!state)
		return;
	place = __sync_fetch_and_add(&state->half_open_cursor, 1) & (max_half_open - 1);
	entry = bpf_map_lookup_elem(&half_open, &place);
	if (!entry)
		return;
	connection->half_open = place + 1;
	displaced = __sync_lock_test_and_set(entry, index + 1);
	if (!displaced || displaced == index + 1)
		return;
	displaced -= 1;
	other = bpf_map_lookup_elem(&connections, &displaced);
	if (!other || other->half_open != place + 1 || other->state == STATE_NONE)
		return;
	count_reason(REASON_DISPLACED_HALF_OPEN);
	remove_connection(displaced);
}

/* Sums over what changes in a request; the addresses of IPv4 are zero but for their first word. */
static __always_inline void compute_differences(struct connection *connection)
{
	__be32 *before = connection->virtual.words, *after = connection->destination.words;
	__u32 size = 2 * sizeof(struct address);

	connection->address_difference = bpf_csum_diff(before, size, after, size, 0);
	connection->port_difference = (__u32)(__u16)~connection->client_port + (__u16)~connection->virtual_port +
				      connection->source_port + connection->destination_port;
}

/* Makes the connection findable by its reply. A taken tuple (one client port, two virtual addresses, one destination)
 * gets another source port. */
static __always_inline enum reason insert_reply(struct connection *connection, const struct flow *flow)
{
	struct tuple tuple;
	int i;

	for (i = 0; i <= PORT_TRIES; i++) {
		reply_tuple(&tuple, connection);
		if (insert_flow(&tuple, flow) == 0)
			return REASON_TRANSLATED;
		if (!find_flow(&tuple))
			return REASON_DROPPED_TABLE_FULL;
		connection->source_port = bpf_htons(FIRST_DYNAMIC_PORT + bpf_get_prandom_u32() % DYNAMIC_PORTS);
	}
	return REASON_DROPPED_PORTS_EXHAUSTED;
}

/* Gives an entry back that was never started. */
static __always_inline void release_entry(struct connection *connection, const struct flow *flow)
{
	__u32 entry = flow->connection;

	connection->generation += 1;
	bpf_map_push_elem(&free_connections, &entry, 0);
}

/* Two CPUs may meet first packets of one flow; the slower one follows the connection that the faster one opened. */
static __always_inline enum reason join_connection(const struct packet *packet, struct flow *flow)
{
	const struct flow *found = find_flow(&packet->tuple);

	if (!found || !connection_of(found))
		return REASON_DROPPED_TABLE_FULL;
	*flow = *found;
	return REASON_TRANSLATED;
}

/*
 * Opens the connection of a client's first packet to a destination that a scheduler chose.
 * @return REASON_TRANSLATED with *flow set to the request, or why not; then nothing is left behind
 */
static __noinline enum reason open_connection(const struct packet *packet, __u32 destination_index, struct flow *flow)
{
	struct connection *connection = fill_entry(packet, destination_index, flow);
	struct tuple tuple;
	enum reason reason;

	if (!connection)
		return REASON_DROPPED_TABLE_FULL;
	if (__builtin_memcmp(&connection->destination, &connection->client, sizeof(struct address)) == 0) {
		connection->flags = CONNECTION_HAIRPIN;
		connection->source = connection->virtual;
	}
	flow->direction = DIRECTION_REPLY;
	reason = insert_reply(connection, flow);
	if (reason != REASON_TRANSLATED) {
		release_entry(connection, flow);
		return reason;
	}
	compute_differences(connection);
	if (connection->source_port != connection->client_port || connection->flags & CONNECTION_HAIRPIN)
		connection->flags |= CONNECTION_SOURCE_CHANGED;
	flow->direction = DIRECTION_REQUEST;
	if (insert_flow(&packet->tuple, flow) != 0) {
		reply_tuple(&tuple, connection);
		delete_flow(&tuple);
		release_entry(connection, flow);
		return join_connection(packet, flow);
	}
	enter_half_open(connection, flow->connection);
	start_connection(connection);
	return REASON_TRANSLATED;
}

/*
 * Finds the service of a packet that belongs to no connection and opens one.
 * @return REASON_TRANSLATED with *flow set; why the packet is passed, rejected or dropped otherwise
 */
static __noinline enum reason admit(const struct packet *packet, struct flow *flow)
{
	struct choice choice = {};
	struct service *service;
	enum reason reason;
	__u32 destination;

	reason = service_of(packet, &service);
	if (reason != REASON_TRANSLATED)
		return reason;
	destination = schedule(service, packet, &choice);
	if (destination == NO_CHOICE)
		return reason_without_destination(service);
	return open_connection(packet, destination, flow);
}

#endif
