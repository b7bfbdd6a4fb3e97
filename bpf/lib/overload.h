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
 * What a number of connections that has just grown, or fallen, makes of it. Another CPU may count the other way between
 * the number and what it leads to: whoever writes last looks at the number once more, so the two agree in the end.
 */
static __always_inline void judge_overload(const struct destination *destination, const struct destination_load *load,
					   __u32 index, __u32 total, int change)
{
	volatile __u32 *overload;

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

/* Counts a connection to a destination (change 1) or one that is gone (-1). */
static __always_inline void change_total(__u32 index, int change)
{
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &index);
	struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &index);

	if (!destination || !load)
		return;
	judge_overload(destination, load, index, __sync_fetch_and_add(&load->total, change) + change, change);
}

/*
 * The same of a template. It is none of the connections that thresholds are about, but older kernels looked at their
 * number then, too: so an edit that they took no notice of has its effect.
 */
static __always_inline void change_persistent(__u32 index, int change)
{
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &index);
	struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &index);
	__u32 zero = 0;
	const struct settings *settings_entry = bpf_map_lookup_elem(&settings, &zero);

	if (!destination || !load || !settings_entry)
		return;
	__sync_fetch_and_add(&load->persistent, change);
	if (settings_entry->ipvs_profile == IPVS_PROFILE_CLASSIC)
		judge_overload(destination, load, index, *(volatile __u32 *)&load->total, change);
}

#endif
