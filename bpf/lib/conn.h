// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The connection table: filling, ageing and removing entries. */
#ifndef BPVS_CONN_H
#define BPVS_CONN_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "clock.h"
#include "config.h"
#include "flow.h"
#include "flow_pair.h"
#include "hold.h"
#include "maps.h"
#include "overload.h"
#include "parse.h"
#include "sctp.h"
#include "state.h"
#include "stats.h"
#include "tcp.h"
#include "traffic.h"
#include "tuple.h"

/* The key of an unconnected socket's connection: by whom it asks, or by who answers. */
static __always_inline void socket_key_of(struct socket_key *key, const struct connection *connection, __u32 index,
					  __u64 cookie, enum direction direction)
{
	struct tuple tuple;
	int is_request = direction == DIRECTION_REQUEST;

	if (is_request)
		request_tuple(&tuple, connection, index, family_of(connection));
	else
		reply_tuple(&tuple, connection, index, family_of(connection));
	*key = (struct socket_key){
		.cookie = cookie,
		.address = is_request ? tuple.destination : tuple.source,
		.port = is_request ? tuple.destination_port : tuple.source_port,
		.protocol = tuple.protocol,
		.family = tuple.family,
		.direction = direction,
	};
}

/* The entry a flow leads to, unless that has ended since. */
static __always_inline struct connection *connection_of(const struct flow *flow)
{
	__u32 index = flow->connection;
	struct connection *connection = bpf_map_lookup_elem(&connections, &index);

	if (!connection || connection->generation != flow->generation || connection->state == STATE_NONE)
		return NULL;
	return connection;
}

static __always_inline void change_active(__u32 destination_index, int change)
{
	struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &destination_index);

	if (load)
		__sync_fetch_and_add(&load->active, change);
}

/* Whoever wins the exchange moves the counters, so they are moved once. */
static __noinline void enter_state(struct connection *connection, __u32 generation, __u32 from, __u32 to)
{
	__u32 destination_index = connection->destination_index;

	if (exchange_state(connection, generation, from, to) && is_active(from) != is_active(to))
		change_active(destination_index, is_active(to) ? 1 : -1);
}

static __always_inline void change_state(struct connection *connection, __u32 generation, __u32 from, __u32 to)
{
	if (from != to)
		enter_state(connection, generation, from, to);
}

static __always_inline __u64 timeout_of(const struct settings *settings, __u32 state)
{
	__u64 index = state;

	barrier_var(index); /* Linux 6.1 knows a bound only of the register that was compared */
	return likely(index < STATE_COUNT) ? settings->timeouts[index] : 0;
}

/* Every packet restarts the timer, also one that does not change the state (ip_vs_conn_put). */
static __always_inline void restart_timer(struct connection *connection, const struct settings *settings, __u32 state,
					  const struct flow *flow, __u64 now)
{
	__u64 expires = now + timeout_of(settings, state);

	if (unlikely(expires - connection->expires + CLOCK_SLACK_NS > 2 * CLOCK_SLACK_NS) &&
	    is_of_generation(connection, flow))
		connection->expires = expires;
}

static __always_inline int is_established(__u32 state)
{
	return state == STATE_ESTABLISHED || state == STATE_SCTP_ESTABLISHED;
}

/*
 * Gives a place in the ring back, so that nobody has to fetch this entry to see that it need not leave: it is long out
 * of every cache when its place is wanted.
 */
static __noinline void leave_half_open(struct connection *connection, __u32 index)
{
	__u32 place = connection->half_open_place, *entry;

	connection->is_half_open = 0;
	entry = bpf_map_lookup_elem(&half_open, &place);
	if (entry)
		__sync_val_compare_and_swap(entry, index + 1, 0);
}

/* Both sides have been heard, once. */
static __always_inline void confirm(struct connection *connection, const struct flow *flow)
{
	if (!is_of_generation(connection, flow))
		return;
	leave_half_open(connection, flow->connection);
	if (connection->flags & CONNECTION_PERSISTENT)
		assure_template(flow->connection);
}

/* A function of its own, out of the way of TCP, as are all others here that few packets need. */
static __noinline __u32 next_sctp_state(enum direction direction, __u8 event, __u32 state)
{
	return sctp_next_state(direction, event, state);
}

/* What a packet of a known connection does to it. */
static __always_inline void advance(struct connection *connection, const struct settings *settings, __u8 event,
				    const struct flow *flow, __u64 now)
{
	enum direction direction = flow->direction;
	__u32 state = connection->state, next = state;

	if (likely(connection->protocol == IPPROTO_TCP)) {
		next = tcp_next_state(direction, event, state, settings);
		change_state(connection, flow->generation, state, next);
	} else if (connection->protocol == IPPROTO_SCTP) {
		next = next_sctp_state(direction, event, state);
		change_state(connection, flow->generation, state, next);
	}
	if (unlikely(connection->is_half_open) &&
	    (connection->protocol == IPPROTO_UDP ? direction == DIRECTION_REPLY : is_established(next)))
		confirm(connection, flow);
	restart_timer(connection, settings, next, flow, now);
}

static __always_inline void make_unfindable(const struct connection *connection, __u32 index, __u16 generation,
					    enum family family)
{
	struct flow flow = { .connection = index, .generation = generation };
	struct tuple tuple;

	request_tuple(&tuple, connection, index, family);
	flow.direction = DIRECTION_REQUEST;
	if (shares_bucket(connection) && delete_flows(&tuple, &flow))
		return;
	delete_flow(&tuple, &flow);
	reply_tuple(&tuple, connection, index, family);
	flow.direction = DIRECTION_REPLY;
	delete_flow(&tuple, &flow);
}

/* The socket's next datagram may have opened another connection with the same key already. */
static __always_inline void forget_key(const struct socket_key *key, __u32 index, __u16 generation)
{
	const struct flow *flow = bpf_map_lookup_elem(&sockets, key);

	if (flow && flow->connection == index && flow->generation == generation)
		bpf_map_delete_elem(&sockets, key);
}

static __noinline void forget_socket(const struct connection *connection, __u32 index, __u16 generation)
{
	struct cold_connection *cold = bpf_map_lookup_elem(&cold_connections, &index);
	struct socket_key key;

	if (!connection || !cold)
		return;
	socket_key_of(&key, connection, index, cold->cookie, DIRECTION_REQUEST);
	forget_key(&key, index, generation);
	socket_key_of(&key, connection, index, cold->cookie, DIRECTION_REPLY);
	forget_key(&key, index, generation);
}

/*
 * Ends an entry once, however many find that it has to go; a later tenant of the entry is another generation. A
 * template that connections hold stays. Not static, so that the verifier checks it once. @return whether it was this
 * call that ended it
 */
__noinline int remove_connection(__u32 index, __u32 generation)
{
	struct connection *connection = bpf_map_lookup_elem(&connections, &index);
	int is_template;
	__u32 state;

	if (!connection || connection->generation != (__u16)generation)
		return 0;
	is_template = connection->flags & CONNECTION_TEMPLATE;
	if (is_template && !claim_template(index))
		return 0;
	state = end_state(connection, generation);
	if (state == STATE_NONE) {
		if (is_template)
			release_template(index);
		return 0;
	}
	flush_traffic(connection, index);
	if (is_template) {
		change_persistent(connection->destination_index, -1);
	} else {
		if (is_active(state))
			change_active(connection->destination_index, -1);
		change_total(connection->destination_index, -1);
	}
	if (connection->flags & CONNECTION_PERSISTENT)
		leave_template(index);
	if (connection->flags & CONNECTION_SOCKET)
		forget_socket(connection, index, generation);
	else if (family_of(connection) == FAMILY_IPV4)
		make_unfindable(connection, index, generation, FAMILY_IPV4);
	else
		make_unfindable(connection, index, generation, FAMILY_IPV6);
	bpf_map_push_elem(&free_connections, &index, 0);
	return 1;
}

/* An unused entry of the pool. @return its index, or max_connections when there is none */
static __always_inline __u32 take_entry(void)
{
	__u32 index, zero = 0;
	struct shared *state;

	if (bpf_map_pop_elem(&free_connections, &index) == 0)
		return index;
	state = bpf_map_lookup_elem(&shared, &zero);
	if (!state || state->used_connections >= max_connections())
		return max_connections();
	index = __sync_fetch_and_add(&state->used_connections, 1);
	if (index < max_connections())
		return index;
	__sync_fetch_and_add(&state->used_connections, -1);
	return max_connections();
}

/* Who talks to whom, for a client that the destination sees as it is. */
static __always_inline void fill_addresses(struct connection *connection, __u32 index, const struct tuple *request,
					   const struct address *destination)
{
	struct addresses6 *addresses = bpf_map_lookup_elem(&addresses6, &index);

	if (request->family == FAMILY_IPV4) {
		connection->client = request->source.words[0];
		connection->virtual = request->destination.words[0];
		connection->destination = destination->words[0];
		connection->source = request->source.words[0];
	} else if (addresses) {
		addresses->client = request->source;
		addresses->virtual = request->destination;
		addresses->destination = *destination;
		addresses->source = request->source;
	}
}

/* A new entry for a client's first packet, not yet to be found by anyone. @return NULL when the table is full */
static __always_inline struct connection *fill_entry(const struct tuple *request, __u32 destination_index,
						     struct flow *flow)
{
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &destination_index);
	__u32 entry = take_entry();
	struct connection *connection = bpf_map_lookup_elem(&connections, &entry);

	if (!destination || !connection)
		return NULL;
	if (!connection->generation) /* a flow of zeros is nobody's */
		connection->generation = 1;
	connection->destination_index = destination_index;
	connection->is_half_open = 0;
	connection->is_orphan = 0;
	connection->protocol = request->protocol;
	connection->flags = request->family == FAMILY_IPV6 ? CONNECTION_IPV6 : 0;
	connection->client_port = request->source_port;
	connection->virtual_port = request->destination_port;
	connection->destination_port = destination->port;
	connection->source_port = request->source_port;
	fill_addresses(connection, entry, request, &destination->address);
	*flow = (struct flow){ .connection = entry, .generation = connection->generation };
	return connection;
}

/* For the estimator. Two CPUs may both set it and one be lost: the destination's next connection makes that good. */
static __always_inline void note_destination(__u32 destination_index)
{
	__u32 zero = 0;
	struct shared *state = bpf_map_lookup_elem(&shared, &zero);

	if (state && state->used_destinations <= destination_index)
		state->used_destinations = destination_index + 1;
}

/* Whether the destination is configured, not in the trash. */
static __always_inline int is_available(__u32 destination_index)
{
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &destination_index);

	return destination && destination->flags & DESTINATION_AVAILABLE;
}

/* TCP's first packet is a SYN but where sloppy_tcp takes others; the state is what they lead to from NONE. */
static __always_inline __u32 first_state(__u8 protocol, __u8 event)
{
	switch (protocol) {
	case IPPROTO_TCP:
		if (event == TCP_EVENT_ACK)
			return STATE_ESTABLISHED;
		return event == TCP_EVENT_SYN ? STATE_SYN_RECV : STATE_CLOSE;
	case IPPROTO_SCTP:
		return STATE_SCTP_NONE;
	default:
		return STATE_UDP;
	}
}

/*
 * After an entry has begun: its destination may have been removed since it was chosen, and whoever marked that one's
 * entries may have missed this.
 */
static __always_inline void note_orphan(struct connection *connection, __u32 destination_index)
{
	if (!is_available(destination_index))
		connection->is_orphan = 1;
}

/* Counts a connection and starts its timer: the last step of opening it. @param is_kept by a connected socket */
static __always_inline void start_connection(struct connection *connection, __u8 event, int is_kept)
{
	__u32 zero = 0, destination_index = connection->destination_index;
	__u32 state = first_state(connection->protocol, event);
	const struct settings *settings_entry = bpf_map_lookup_elem(&settings, &zero);

	if (is_kept)
		connection->expires = NEVER;
	else if (settings_entry)
		connection->expires = now_ns() + timeout_of(settings_entry, state);
	if (is_active(state))
		change_active(destination_index, 1);
	change_total(destination_index, 1);
	count_connection(destination_index);
	note_destination(destination_index);
	begin_state(connection, state);
	note_orphan(connection, destination_index);
}

#endif
