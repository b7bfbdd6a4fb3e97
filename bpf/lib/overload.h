// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Thresholds: a destination that has come to its upper one gets no new connections from schedulers until it has fallen
 * under its lower one (include/net/ip_vs.h, net/netfilter/ipvs/ip_vs_conn.c: ip_vs_bind_dest, ip_vs_unbind_dest).
 */
#ifndef BPVS_OVERLOAD_H
#define BPVS_OVERLOAD_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"

static __always_inline int is_overloaded(const struct destination *destination, __u32 index)
{
	const __u32 *overload;

	if (!destination->upper_threshold)
		return 0;
	overload = bpf_map_lookup_elem(&overloads, &index);
	return overload && *overload;
}

static __always_inline __u32 lower_threshold_of(const struct destination *destination)
{
	return destination->lower_threshold ?: destination->upper_threshold - destination->upper_threshold / 4;
}

/*
 * Counts a connection to a destination (change 1) or one that is gone (-1). Another CPU may count the other way between
 * the number and what it leads to: whoever writes last looks at the number once more, so the two agree in the end.
 */
static __always_inline void change_total(__u32 index, int change)
{
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &index);
	struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &index);
	volatile __u32 *overload;
	__u32 total;

	if (!destination || !load)
		return;
	total = __sync_fetch_and_add(&load->total, change) + change;
	if (!destination->upper_threshold)
		return;
	overload = bpf_map_lookup_elem(&overloads, &index);
	if (!overload)
		return;
	if (change > 0 && total >= destination->upper_threshold) {
		*overload = 1;
		if (*(volatile __u32 *)&load->total < lower_threshold_of(destination))
			*overload = 0;
	} else if (change < 0 && total < lower_threshold_of(destination)) {
		*overload = 0;
		if (*(volatile __u32 *)&load->total >= destination->upper_threshold)
			*overload = 1;
	}
}

#endif
