// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * One-packet scheduling: each datagram of UDP is given a destination of its own. Nothing is remembered of it, so
 * replies come with the destination's address (ip_vs_conn.c: IP_VS_CONN_F_ONE_PACKET).
 */
#ifndef BPVS_ONE_PACKET_H
#define BPVS_ONE_PACKET_H

#include "admit.h"
#include "decide.h"
#include "stats.h"
#include "view.h"

/* A connection and its only packet, at the destination. */
static __always_inline void count_datagram(__u32 destination_index, __u32 bytes)
{
	struct destination_traffic *traffic = bpf_map_lookup_elem(&destination_traffic, &destination_index);

	note_destination(destination_index);
	count_connection(destination_index);
	if (!traffic)
		return;
	traffic->in_packets += 1;
	traffic->in_bytes += bytes;
}

/*
 * Fills an entry for the datagram that nobody can find, for as long as it is being translated. Not static, as admit.
 * @return REASON_TRANSLATED with *flow set, or why not
 */
__noinline int begin_datagram(const struct packet *packet, struct flow *flow)
{
	struct decision decision = {};
	struct connection *connection;
	struct service *service;
	enum reason reason;

	if (!packet || !flow)
		return REASON_PASSED_NOT_OURS;
	reason = service_of(packet, &service);
	if (reason != REASON_TRANSLATED)
		return reason;
	reason = enter_view(packet, &service);
	if (reason != REASON_TRANSLATED || !service)
		return reason;
	reason = decide(service, packet, &decision);
	if (reason != REASON_TRANSLATED)
		return reason;
	take_back(&decision); /* a template's timer has been restarted by now */
	connection = fill_entry(&packet->tuple, decision.destination, flow);
	if (!connection)
		return REASON_DROPPED_TABLE_FULL;
	connection->destination_port = decision.port;
	count_datagram(decision.destination, packet->length);
	return REASON_TRANSLATED;
}

#endif
