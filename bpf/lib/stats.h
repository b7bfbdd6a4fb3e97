// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counting: packets by reason, connections by destination. */
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

static __always_inline void count_connection(__u32 destination_index)
{
	struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &destination_index);

	if (load)
		__sync_fetch_and_add(&load->opened, 1);
}

#endif
