// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Connections of the host's own sockets: no packet of theirs is rewritten, the socket asks for the destination itself.
 */
#ifndef BPVS_SOCKET_H
#define BPVS_SOCKET_H

#include "conn.h"
#include "decide.h"
#include "hosted.h"
#include "reuse.h"
#include "view.h"

/*
 * Where a socket's request goes. A socket without an address of its own is to its scheduler a client at the virtual
 * address, as to kernel IPVS, which sees that address as local.
 * @param is_datagram one of a service that schedules each by itself is counted, and nothing else is to be done for it
 * @return REASON_TRANSLATED or BEGINS_ONE_PACKET with *decision set, or why it goes nowhere
 */
static __noinline enum reason decide_for_socket(struct packet *packet, __u64 cookie, int is_datagram,
						struct decision *decision)
{
	struct service *service;
	enum reason reason;

	reason = service_of(packet, &service);
	/* Sockets of UDP are connected to any port, only to learn their own address. */
	if (reason == REASON_PASSED_NOT_OURS && packet->tuple.protocol == IPPROTO_TCP &&
	    is_hosted(&packet->tuple.destination, packet->tuple.family))
		return REASON_REJECTED_NO_SERVICE;
	if (reason != REASON_TRANSLATED)
		return reason;
	if (!(packet->tuple.source.words[0] | packet->tuple.source.words[1] | packet->tuple.source.words[2] |
	      packet->tuple.source.words[3]))
		packet->tuple.source = packet->tuple.destination;
	if (!packet->tuple.source_port) /* not known before the kernel picks one: let sh-port spread all the same */
		packet->tuple.source_port = cookie;
	reason = enter_view(packet, &service);
	if (reason != REASON_TRANSLATED || !service)
		return reason;
	reason = decide(service, packet, decision);
	if (reason != REASON_TRANSLATED || !is_datagram || !is_one_packet(service, packet))
		return reason;
	take_back(decision);
	note_destination(decision->destination);
	count_connection(decision->destination);
	return BEGINS_ONE_PACKET;
}

/* A new connection that was decided on. @param is_kept see start_connection. @return NULL when the table is full */
static __noinline struct connection *open_socket(const struct packet *packet, __u64 cookie,
						 const struct decision *decision, int is_kept, struct flow *flow)
{
	struct cold_connection *cold;
	struct connection *connection;
	__u32 index;

	connection = fill_entry(&packet->tuple, decision->destination, flow);
	if (!connection) {
		take_back(decision);
		return NULL;
	}
	connection->flags |= CONNECTION_SOCKET;
	index = flow->connection;
	note_decision(connection, index, decision);
	cold = bpf_map_lookup_elem(&cold_connections, &index);
	if (cold)
		cold->cookie = cookie;
	start_connection(connection, packet->event, is_kept);
	return connection;
}

/* The connection that an unconnected socket has with this virtual address, or with this destination. */
static __always_inline struct connection *find_socket(const struct tuple *tuple, __u64 cookie, enum direction direction,
						      struct flow *flow)
{
	struct socket_key key = {
		.cookie = cookie,
		.address = tuple->destination,
		.port = tuple->destination_port,
		.protocol = tuple->protocol,
		.family = tuple->family,
		.direction = direction,
	};
	struct flow *found = bpf_map_lookup_elem(&sockets, &key);

	if (!found)
		return NULL;
	*flow = *found;
	return connection_of(flow);
}

/* Makes both directions of an unconnected socket's connection findable. @return 0, or -1 with the connection ended */
static __always_inline int remember_socket(const struct connection *connection, __u64 cookie, const struct flow *flow)
{
	struct socket_key key;

	socket_key_of(&key, connection, flow->connection, cookie, DIRECTION_REQUEST);
	if (bpf_map_update_elem(&sockets, &key, flow, BPF_ANY) == 0) {
		socket_key_of(&key, connection, flow->connection, cookie, DIRECTION_REPLY);
		if (bpf_map_update_elem(&sockets, &key, flow, BPF_ANY) == 0)
			return 0;
	}
	remove_connection(flow->connection, flow->generation);
	return -1;
}

/* The IPVS state of a connection whose client's socket changes its own (include/net/tcp_states.h). */
static __always_inline __u32 state_of_socket(int before, int now)
{
	switch (now) {
	case BPF_TCP_ESTABLISHED:
		return STATE_ESTABLISHED;
	case BPF_TCP_SYN_SENT:
		return STATE_SYN_RECV;
	case BPF_TCP_FIN_WAIT1:
	case BPF_TCP_FIN_WAIT2:
		return STATE_CLOSE_WAIT; /* the client closed first */
	case BPF_TCP_CLOSE_WAIT:
		return STATE_FIN_WAIT; /* the destination did */
	case BPF_TCP_CLOSE:
		return before == BPF_TCP_FIN_WAIT2 || before == BPF_TCP_CLOSING || before == BPF_TCP_LAST_ACK ||
				       before == BPF_TCP_TIME_WAIT
			       ? STATE_TIME_WAIT
			       : STATE_CLOSE;
	default:
		return STATE_TIME_WAIT;
	}
}

/* While its socket keeps it, a connection has no timeout; afterwards that of its state. */
static __always_inline void change_socket_state(struct connection *connection, const struct flow *flow, __u32 state,
						int is_kept)
{
	__u32 zero = 0;
	const struct settings *settings_entry = bpf_map_lookup_elem(&settings, &zero);

	if (!settings_entry || !is_of_generation(connection, flow))
		return;
	connection->expires = is_kept ? NEVER : now_ns() + timeout_of(settings_entry, state);
	change_state(connection, flow->generation, connection->state, state);
}

#endif
