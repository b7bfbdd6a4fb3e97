// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Counting a connection's traffic: at each packet in its own entry, and from there now and then at its destination, so
 * that a packet touches no memory but its flow's. The kernel's counters, too, are shown as of up to 2 seconds ago.
 */
#ifndef BPVS_TRAFFIC_H
#define BPVS_TRAFFIC_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"

/* One number holds both: packets above, bytes (from the IP header on) below, so that one atomic addition counts a
 * packet. */
#define TRAFFIC_BYTES_BITS 40
#define TRAFFIC_PACKET (1ULL << TRAFFIC_BYTES_BITS)
#define TRAFFIC_BYTES (TRAFFIC_PACKET - 1)

static __always_inline void count_packet(struct connection *connection, enum direction direction, __u32 bytes)
{
	__sync_fetch_and_add(direction == DIRECTION_REQUEST ? &connection->in_traffic : &connection->out_traffic,
			     TRAFFIC_PACKET + bytes);
}

/*
 * What was counted since the last time. Differences stay right whoever takes them and in whatever order: each is taken
 * from the number that the exchange returned.
 */
static __always_inline __u64 take_traffic(const __u64 *counted, __u64 *flushed)
{
	__u64 now = *(const volatile __u64 *)counted;

	if (now == *flushed) /* most are idle: leave their lines clean */
		return 0;
	return now - __sync_lock_test_and_set(flushed, now);
}

/* Adds what a connection counted to its destination's statistics; one that is in the trash is counted no more. */
static __always_inline void flush_traffic(const struct connection *connection, __u32 index)
{
	__u32 destination_index = connection->destination_index;
	struct cold_connection *cold = bpf_map_lookup_elem(&cold_connections, &index);
	struct destination_traffic *traffic;
	__u64 in, out;

	if (!cold)
		return;
	in = take_traffic(&connection->in_traffic, &cold->flushed_in_traffic);
	out = take_traffic(&connection->out_traffic, &cold->flushed_out_traffic);
	if (connection->is_orphan || !(in | out))
		return;
	traffic = bpf_map_lookup_elem(&destination_traffic, &destination_index);
	if (!traffic)
		return;
	traffic->in_packets += in >> TRAFFIC_BYTES_BITS;
	traffic->in_bytes += in & TRAFFIC_BYTES;
	traffic->out_packets += out >> TRAFFIC_BYTES_BITS;
	traffic->out_bytes += out & TRAFFIC_BYTES;
}

#endif
