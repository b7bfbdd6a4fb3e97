// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A packet's way into the connection table. */
#ifndef BPVS_ADMIT_H
#define BPVS_ADMIT_H

#include "address.h"
#include "conn.h"
#include "decide.h"
#include "view.h"

/* How often another source port is tried where the translated tuple is taken. */
#define PORT_TRIES 8
#define FIRST_DYNAMIC_PORT 32768
#define DYNAMIC_PORTS 28232 /* 32768..60999, net.ipv4.ip_local_port_range */

/* A new connection, and the one that has to end for it. */
struct admission {
	struct flow flow;
	struct flow displaced;
	__u8 has_displaced;
	__u8 is_joined; /* it belongs to a connection that another CPU opened meanwhile */
};

/*
 * Puts a new connection into the ring of the half-open.
 * @return whether the oldest one there still is half open, and so has to leave
 */
static __always_inline int enter_half_open(struct connection *connection, __u32 index, struct flow *leaving)
{
	__u32 zero = 0, place, displaced;
	struct shared *state = bpf_map_lookup_elem(&shared, &zero);
	const struct connection *other;
	__u32 *entry;

	if (!state)
		return 0;
	place = __sync_fetch_and_add(&state->half_open_cursor, 1) & (max_half_open() - 1);
	entry = bpf_map_lookup_elem(&half_open, &place);
	if (!entry)
		return 0;
	connection->half_open_place = place;
	connection->is_half_open = 1;
	displaced = __sync_lock_test_and_set(entry, index + 1);
	if (!displaced || displaced == index + 1)
		return 0;
	displaced -= 1;
	other = bpf_map_lookup_elem(&connections, &displaced);
	if (!other)
		return 0;
	*leaving = (struct flow){ .connection = displaced, .generation = generation_of(other) };
	return other->is_half_open && other->half_open_place == place && other->state != STATE_NONE;
}

/*
 * A pod that is its own destination would answer itself: it sees the virtual address as its client, and both directions
 * are met at the ingress of its device.
 */
static __always_inline void turn_hairpin(struct connection *connection, __u32 index)
{
	struct addresses6 *addresses;

	if (connection->flags & CONNECTION_IPV6) {
		addresses = bpf_map_lookup_elem(&addresses6, &index);
		if (!addresses || !is_same_address(&addresses->destination, &addresses->client))
			return;
		addresses->source = addresses->virtual;
	} else {
		if (connection->destination != connection->client)
			return;
		connection->source = connection->virtual;
	}
	connection->flags |= CONNECTION_HAIRPIN | CONNECTION_SOURCE_CHANGED;
}

/*
 * Makes the connection findable by its reply. A taken tuple (one client port, two virtual addresses, one destination)
 * gets another source port, and *reply with it.
 */
static __always_inline enum reason insert_reply(struct connection *connection, const struct flow *flow,
						struct tuple *reply)
{
	int i;

#pragma clang loop unroll(disable)
	for (i = 0; i <= PORT_TRIES; i++) {
		switch (is_taken(reply) ? TUPLE_TAKEN : insert_flow(reply, flow)) {
		case INSERTED:
			return REASON_TRANSLATED;
		case NO_ROOM:
			return REASON_DROPPED_TABLE_FULL;
		case TUPLE_TAKEN:
			break;
		}
		connection->source_port = bpf_htons(FIRST_DYNAMIC_PORT + bpf_get_prandom_u32() % DYNAMIC_PORTS);
		connection->flags |= CONNECTION_SOURCE_CHANGED;
		reply->destination_port = connection->source_port;
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
	return find_connection(&packet->tuple, flow) ? REASON_TRANSLATED : REASON_DROPPED_BEING_OPENED;
}

/* The destination sees an address of this node as its client, so that it answers here. */
static __always_inline void change_source(struct connection *connection, const struct flow *flow,
					  const struct address *source)
{
	__u32 index = flow->connection, request = 2 * index, reply = request + 1;
	struct addresses6 *addresses = bpf_map_lookup_elem(&addresses6, &index);
	struct next_hop *hop;

	if (!(connection->flags & CONNECTION_IPV6))
		connection->source = source->words[0];
	else if (addresses)
		addresses->source = *source;
	connection->flags |= CONNECTION_OUTSIDE | CONNECTION_SOURCE_CHANGED;
	hop = bpf_map_lookup_elem(&next_hops, &request);
	if (hop)
		hop->checked = 0;
	hop = bpf_map_lookup_elem(&next_hops, &reply);
	if (hop)
		hop->checked = 0;
}

/*
 * The two flows one after the other: the reply's, whose source port may have to change, then the request's.
 * @return REASON_TRANSLATED, also where another CPU's connection is joined; or why not. The entry is given back unless
 * both were inserted
 */
static __always_inline enum reason insert_each(struct connection *connection, const struct packet *packet,
					       struct tuple *reply, struct admission *admission)
{
	struct flow *flow = &admission->flow;
	enum insertion insertion;
	enum reason reason;

	flow->direction = DIRECTION_REPLY;
	reason = insert_reply(connection, flow, reply);
	if (reason != REASON_TRANSLATED) {
		release_entry(connection, flow);
		return reason;
	}
	flow->direction = DIRECTION_REQUEST;
	insertion = insert_flow(&packet->tuple, flow);
	if (insertion == INSERTED)
		return REASON_TRANSLATED;
	flow->direction = DIRECTION_REPLY;
	delete_flow(reply, flow);
	release_entry(connection, flow);
	admission->is_joined = insertion != NO_ROOM;
	return insertion == NO_ROOM ? REASON_DROPPED_TABLE_FULL : join_connection(packet, flow);
}

/*
 * Opens the connection of a client's first packet to the destination that was decided on; where it does not, the
 * decision is the caller's to take back. Not static, as below.
 * @param source this node's address that the destination is to see; NULL where that is the client
 * @return REASON_TRANSLATED with *admission set to the request, or why not; then nothing is left behind
 */
__noinline int open_connection(const struct packet *packet, const struct decision *decision,
			       const struct address *source, struct admission *admission)
{
	struct connection *connection;
	struct tuple reply;
	enum reason reason;
	struct flow *flow;

	if (!packet || !decision || !admission)
		return REASON_PASSED_NOT_OURS;
	flow = &admission->flow;
	connection = fill_entry(&packet->tuple, decision->destination, flow);
	if (!connection)
		return REASON_DROPPED_TABLE_FULL;
	note_decision(connection, flow->connection, decision);
	if (source)
		change_source(connection, flow, source);
	else
		turn_hairpin(connection, flow->connection);
	flow->direction = DIRECTION_REQUEST;
	reply_tuple(&reply, connection, flow->connection, family_of(connection));
	if (!shares_bucket(connection) || !insert_flows(&packet->tuple, &reply, flow)) {
		reason = insert_each(connection, packet, &reply, admission);
		if (reason != REASON_TRANSLATED || admission->is_joined)
			return reason;
	}
	admission->has_displaced = enter_half_open(connection, flow->connection, &admission->displaced);
	start_connection(connection, packet->event, 0);
	return REASON_TRANSLATED;
}

/*
 * Finds the service of a packet that belongs to no connection, and a destination. Not static, so that the verifier
 * checks it once by itself, not anew for every way that leads here.
 * @return REASON_TRANSLATED with *decision set; BEGINS_ONE_PACKET; why the packet is passed, rejected or dropped
 * otherwise
 */
__noinline int admit(const struct packet *packet, struct decision *decision)
{
	struct service *service;
	enum reason reason;

	if (!packet || !decision)
		return REASON_PASSED_NOT_OURS;
	reason = service_of(packet, &service);
	if (reason != REASON_TRANSLATED)
		return reason;
	if (!is_possible_client(&packet->tuple))
		return REASON_PASSED_MARTIAN;
	reason = enter_view(packet, &service);
	if (reason != REASON_TRANSLATED || !service)
		return reason;
	return is_one_packet(service, packet) ? BEGINS_ONE_PACKET : decide(service, packet, decision);
}

#endif
