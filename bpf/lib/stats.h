// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counting: packets by reason, traffic by destination. */
#ifndef BPVS_STATS_H
#define BPVS_STATS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"

static __always_inline void count_reason(enum reason reason)
{
	__u32 index = reason;
	__u64 *count = bpf_map_lookup_elem(&reasons, &index);

	if (count)
		*count += 1;
}

/* A service's counters are the sums over its destinations, so a packet is counted once. `bytes` begin at the IP header.
 */
static __always_inline void count_packet(__u32 destination_index, enum direction direction, __u32 bytes)
{
	struct statistics *statistics = bpf_map_lookup_elem(&destination_statistics, &destination_index);

	if (!statistics)
		return;
	if (direction == DIRECTION_REQUEST) {
		statistics->in_packets += 1;
		statistics->in_bytes += bytes;
	} else {
		statistics->out_packets += 1;
		statistics->out_bytes += bytes;
	}
}

static __always_inline void count_connection(__u32 destination_index)
{
	struct statistics *statistics = bpf_map_lookup_elem(&destination_statistics, &destination_index);

	if (statistics)
		statistics->connections += 1;
}

#endif
