// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The hooks of the host's own sockets: they connect and send to the destination itself, and never learn of it. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/abi.h"
#include "lib/address.h"
#include "lib/config.h"
#include "lib/socket.h"

#define REFUSE 0
#define ALLOW 1
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define AF_INET 2
#define ECONNREFUSED 111
#define ETIMEDOUT 110
#define ENOBUFS 105

static __always_inline int is_mapped(const struct address *address)
{
	return !address->words[0] && !address->words[1] && address->words[2] == bpf_htonl(0xffff);
}

/* The peer that the socket call names. A mapped address (::ffff:10.0.0.1) is an IPv4 peer of an IPv6 socket. */
static __always_inline void read_peer(const struct bpf_sock_addr *ctx, enum family family, struct tuple *tuple)
{
	tuple->family = family;
	tuple->protocol = ctx->protocol;
	tuple->destination_port = ctx->user_port;
	if (family == FAMILY_IPV4) {
		tuple->destination.words[0] = ctx->user_ip4;
		return;
	}
	tuple->destination.words[0] = ctx->user_ip6[0];
	tuple->destination.words[1] = ctx->user_ip6[1];
	tuple->destination.words[2] = ctx->user_ip6[2];
	tuple->destination.words[3] = ctx->user_ip6[3];
	if (is_mapped(&tuple->destination)) {
		tuple->family = FAMILY_IPV4;
		tuple->destination = (struct address){ .words = { tuple->destination.words[3] } };
	}
}

static __always_inline void write_peer(struct bpf_sock_addr *ctx, enum family family, enum family of,
				       const struct address *address, __be16 port)
{
	ctx->user_port = port;
	if (family == FAMILY_IPV4) {
		ctx->user_ip4 = address->words[0];
	} else if (of == FAMILY_IPV4) {
		ctx->user_ip6[3] = address->words[0];
	} else {
		ctx->user_ip6[0] = address->words[0];
		ctx->user_ip6[1] = address->words[1];
		ctx->user_ip6[2] = address->words[2];
		ctx->user_ip6[3] = address->words[3];
	}
}

/* The socket's own address, where it is bound to one, and the mark that its packets have. */
static __always_inline void read_own(const struct bpf_sock_addr *ctx, enum family family, struct packet *packet)
{
	struct bpf_sock *socket = ctx->sk;
	struct tuple *tuple = &packet->tuple;

	if (!socket)
		return;
	packet->mark = socket->mark;
	tuple->source_port = bpf_htons(socket->src_port);
	if (family == FAMILY_IPV4) {
		tuple->source.words[0] = socket->src_ip4;
	} else if (tuple->family == FAMILY_IPV6) {
		tuple->source.words[0] = socket->src_ip6[0];
		tuple->source.words[1] = socket->src_ip6[1];
		tuple->source.words[2] = socket->src_ip6[2];
		tuple->source.words[3] = socket->src_ip6[3];
	}
}

static __always_inline int is_ours(struct bpf_sock_addr *ctx)
{
	return (ctx->protocol == IPPROTO_TCP || ctx->protocol == IPPROTO_UDP) &&
	       bpf_get_netns_cookie(ctx) == host_netns_cookie();
}

/* What the caller of connect() or sendmsg() gets for a reason: what ICMP would have told it, but at once. */
static __always_inline int answer(enum reason reason)
{
	if (reason < REASON_REJECTED_NO_SERVICE)
		return ALLOW;
	count_reason(reason);
	if (reason == REASON_REJECTED_NO_DESTINATION || reason == REASON_REJECTED_NO_SERVICE)
		bpf_set_retval(-ECONNREFUSED);
	else if (reason == REASON_DROPPED_NO_DESTINATION || reason == REASON_DROPPED_SOURCE_RANGE)
		bpf_set_retval(-ETIMEDOUT);
	else
		bpf_set_retval(-ENOBUFS);
	return REFUSE;
}

/* A socket that connects anew leaves its former connection. */
static __always_inline void leave_connection(struct bpf_sock *socket)
{
	struct flow *former = bpf_sk_storage_get(&socket_connections, socket, 0, 0);

	if (former && connection_of(former))
		remove_connection(former->connection, former->generation);
}

/* To the connection's destination. */
static __always_inline int lead(struct bpf_sock_addr *ctx, enum family family, const struct connection *connection,
				const struct flow *flow)
{
	struct tuple reply;

	reply_tuple(&reply, connection, flow->connection, family_of(connection));
	if (!is_of_generation(connection, flow)) /* another CPU has ended it, and it may be another one's by now */
		return answer(REASON_DROPPED_REWRITE_FAILED);
	write_peer(ctx, family, reply.family, &reply.source, reply.source_port);
	return ALLOW;
}

static __always_inline int connect_socket(struct bpf_sock_addr *ctx, enum family family)
{
	struct packet packet = { .event = TCP_EVENT_SYN };
	struct connection *connection;
	struct decision decision = {};
	struct bpf_sock *socket;
	struct flow flow, *kept;
	enum reason reason;
	__u64 cookie;

	if (!is_ours(ctx))
		return ALLOW;
	socket = ctx->sk;
	if (!socket)
		return ALLOW;
	cookie = bpf_get_socket_cookie(ctx);
	leave_connection(socket);
	read_peer(ctx, family, &packet.tuple);
	read_own(ctx, family, &packet);
	reason = decide_for_socket(&packet, cookie, 0, &decision);
	if (reason != REASON_TRANSLATED)
		return answer(reason);
	connection = open_socket(&packet, cookie, &decision, 1, &flow);
	if (!connection)
		return answer(REASON_DROPPED_TABLE_FULL);
	kept = bpf_sk_storage_get(&socket_connections, socket, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!kept) {
		remove_connection(flow.connection, flow.generation);
		return answer(REASON_DROPPED_TABLE_FULL);
	}
	*kept = flow;
	return lead(ctx, family, connection, &flow);
}

/* An unconnected socket's first connection ends with the socket; the others, of one that asks many, by their timeouts.
 */
static __always_inline void keep_first(struct bpf_sock *socket, const struct flow *flow)
{
	struct flow *kept;

	if (!socket)
		return;
	kept = bpf_sk_storage_get(&socket_connections, socket, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (kept && !connection_of(kept))
		*kept = *flow;
}

/* A datagram that is scheduled by itself: its answer comes with the destination's address. */
static __always_inline int aim(struct bpf_sock_addr *ctx, enum family family, const struct packet *packet,
			       const struct decision *decision)
{
	__u32 index = decision->destination;
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &index);

	if (destination)
		write_peer(ctx, family, packet->tuple.family, &destination->address, decision->port);
	return ALLOW;
}

static __always_inline int send_datagram(struct bpf_sock_addr *ctx, enum family family)
{
	struct packet packet = {};
	struct connection *connection;
	struct decision decision = {};
	enum reason reason;
	struct flow flow;
	__u64 cookie;

	if (!is_ours(ctx))
		return ALLOW;
	cookie = bpf_get_socket_cookie(ctx);
	read_peer(ctx, family, &packet.tuple);
	connection = find_socket(&packet.tuple, cookie, DIRECTION_REQUEST, &flow);
	if (connection && continuation_of(connection, &packet) != CONTINUES) {
		remove_connection(flow.connection, flow.generation);
		connection = NULL;
	}
	if (!connection) {
		read_own(ctx, family, &packet);
		reason = decide_for_socket(&packet, cookie, 1, &decision);
		if (reason == BEGINS_ONE_PACKET)
			return aim(ctx, family, &packet, &decision);
		if (reason != REASON_TRANSLATED)
			return answer(reason);
		connection = open_socket(&packet, cookie, &decision, 0, &flow);
		if (!connection || remember_socket(connection, cookie, &flow))
			return answer(REASON_DROPPED_TABLE_FULL);
		keep_first(ctx->sk, &flow);
	}
	change_socket_state(connection, &flow, STATE_UDP, 0);
	return lead(ctx, family, connection, &flow);
}

/* Whether the connection's destination is the peer; if so, the peer gets the name that the program asked for. */
static __always_inline int name_as_asked(struct bpf_sock_addr *ctx, enum family family, const struct tuple *peer,
					 const struct connection *connection, const struct flow *flow)
{
	struct tuple reply, request;

	reply_tuple(&reply, connection, flow->connection, family_of(connection));
	if (reply.source_port != peer->destination_port || !is_same_address(&reply.source, &peer->destination))
		return 0;
	request_tuple(&request, connection, flow->connection, family_of(connection));
	if (!is_of_generation(connection, flow))
		return 0;
	write_peer(ctx, family, request.family, &request.destination, request.destination_port);
	return 1;
}

/* A datagram's sender, and a connected socket's peer, as the program asked for it: the virtual address. */
static __always_inline int name_peer(struct bpf_sock_addr *ctx, enum family family, int is_datagram)
{
	struct bpf_sock *socket = ctx->sk;
	struct connection *connection;
	struct tuple peer = {};
	struct flow flow, *kept;

	if (!is_ours(ctx) || !socket)
		return ALLOW;
	read_peer(ctx, family, &peer);
	kept = bpf_sk_storage_get(&socket_connections, socket, 0, 0);
	if (!kept)
		return ALLOW;
	flow = *kept;
	connection = connection_of(&flow);
	if (connection && name_as_asked(ctx, family, &peer, connection, &flow))
		return ALLOW;
	if (!is_datagram)
		return ALLOW;
	connection = find_socket(&peer, bpf_get_socket_cookie(ctx), DIRECTION_REPLY, &flow);
	if (connection)
		name_as_asked(ctx, family, &peer, connection, &flow);
	return ALLOW;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return connect_socket(ctx, FAMILY_IPV4);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return connect_socket(ctx, FAMILY_IPV6);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return send_datagram(ctx, FAMILY_IPV4);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return send_datagram(ctx, FAMILY_IPV6);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	return name_peer(ctx, FAMILY_IPV4, 1);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	return name_peer(ctx, FAMILY_IPV6, 1);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	return name_peer(ctx, FAMILY_IPV4, 0);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	return name_peer(ctx, FAMILY_IPV6, 0);
}

/* The program closes the socket: from now on its connection has a timeout, which TCP's last events restart. */
SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *socket)
{
	struct flow *kept = bpf_sk_storage_get(&socket_connections, socket, 0, 0);
	struct connection *connection;

	if (!kept)
		return ALLOW;
	connection = connection_of(kept);
	if (!connection)
		return ALLOW;
	if (connection->protocol != IPPROTO_TCP)
		remove_connection(kept->connection, kept->generation);
	else
		change_socket_state(connection, kept,
				    connection->state == STATE_SYN_RECV ? STATE_CLOSE : connection->state, 0);
	return ALLOW;
}

/* What the socket sent and received, when it is over: segments with the headers that each has at least. */
static __always_inline void count_socket(struct bpf_sock_ops *ctx, __u32 destination_index)
{
	__u32 header = ctx->family == AF_INET ? 40 : 60;
	struct destination_traffic *traffic = bpf_map_lookup_elem(&destination_traffic, &destination_index);

	if (!traffic)
		return;
	traffic->in_packets += ctx->segs_out;
	traffic->in_bytes += ctx->bytes_acked + (__u64)header * ctx->segs_out;
	traffic->out_packets += ctx->segs_in;
	traffic->out_bytes += ctx->bytes_received + (__u64)header * ctx->segs_in;
}

/* A connecting socket has its own address by now. */
static __always_inline void learn_client(struct bpf_sock_ops *ctx, struct connection *connection, __u32 index)
{
	struct addresses6 *addresses;

	connection->client_port = bpf_htons(ctx->local_port);
	if (!(connection->flags & CONNECTION_IPV6)) {
		connection->client = ctx->local_ip4;
		return;
	}
	addresses = bpf_map_lookup_elem(&addresses6, &index);
	if (!addresses)
		return;
	addresses->client.words[0] = ctx->local_ip6[0];
	addresses->client.words[1] = ctx->local_ip6[1];
	addresses->client.words[2] = ctx->local_ip6[2];
	addresses->client.words[3] = ctx->local_ip6[3];
}

SEC("sockops")
int socket_events(struct bpf_sock_ops *ctx)
{
	struct connection *connection;
	struct bpf_sock *socket;
	struct flow *kept;

	if (ctx->op != BPF_SOCK_OPS_TCP_CONNECT_CB && ctx->op != BPF_SOCK_OPS_STATE_CB)
		return 1;
	socket = ctx->sk;
	if (!socket)
		return 1;
	kept = bpf_sk_storage_get(&socket_connections, socket, 0, 0);
	if (!kept)
		return 1;
	connection = connection_of(kept);
	if (!connection)
		return 1;
	if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		learn_client(ctx, connection, kept->connection);
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		return 1;
	}
	change_socket_state(connection, kept, state_of_socket(ctx->args[0], ctx->args[1]),
			    connection->expires == NEVER && ctx->args[1] != BPF_TCP_CLOSE);
	if (ctx->args[1] == BPF_TCP_ESTABLISHED && connection->flags & CONNECTION_PERSISTENT)
		assure_template(kept->connection);
	if (ctx->args[1] == BPF_TCP_CLOSE)
		count_socket(ctx, connection->destination_index);
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
