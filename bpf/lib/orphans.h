// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sockets of the host that hang on a removed destination: no packet of theirs is seen, so somebody has to end them. */
#ifndef BPVS_ORPHANS_H
#define BPVS_ORPHANS_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include "conn.h"

/* Only what a connected socket keeps: the connections of unconnected ones are chosen anew by their next datagram. */
static __always_inline int is_orphaned_socket(const struct connection *connection, __u32 with_tcp)
{
	return connection->state != STATE_NONE && connection->is_orphan && connection->expires == NEVER &&
	       connection->flags & CONNECTION_SOCKET && (with_tcp || connection->protocol != IPPROTO_TCP);
}

/* @param generation that it had before it was judged: if it has ended since, whoever is to end it finds another */
static __always_inline void list_orphaned_socket(const struct connection *connection, __u32 index, __u16 generation)
{
	struct cold_connection *cold = bpf_map_lookup_elem(&cold_connections, &index);
	struct orphaned_socket socket = { .generation = generation, .family = family_of(connection) };
	struct tuple reply;

	if (!cold)
		return;
	reply_tuple(&reply, connection, index, socket.family);
	socket.cookie = cold->cookie;
	socket.destination = reply.source;
	socket.port = reply.source_port;
	socket.protocol = connection->protocol;
	bpf_map_update_elem(&orphaned_sockets, &index, &socket, BPF_ANY);
}

static long list_orphaned_socket_step(__u64 step, __u32 *with_tcp)
{
	__u32 index = step;
	const struct connection *connection = bpf_map_lookup_elem(&connections, &index);
	__u16 generation;

	if (!connection)
		return 0;
	generation = generation_of(connection);
	if (is_orphaned_socket(connection, *with_tcp))
		list_orphaned_socket(connection, index, generation);
	return 0;
}

#endif
