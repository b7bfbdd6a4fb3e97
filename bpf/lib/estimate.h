// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The rates that ipvsadm --rate shows, by the kernel's estimator (net/netfilter/ipvs/ip_vs_est.c), and the zero that
 * ipvsadm -Z sets. The counters are never written here, so none is lost whoever counts meanwhile.
 */
#ifndef BPVS_ESTIMATE_H
#define BPVS_ESTIMATE_H

#include <linux/types.h>
#include "abi.h"

/* Everything is sampled once in 2 seconds: its difference is halved, then scaled by 2^10, or 2^5 for bytes. */
#define PACKET_SCALE 512
#define BYTE_SCALE 16

/* Who sets to zero meanwhile wins. */
static __always_inline void estimate_rate(__u64 *scaled, __u64 *seen, __u64 now, __u32 scale)
{
	__u64 old = *(volatile __u64 *)scaled;
	__s64 rate = (now - __sync_lock_test_and_set(seen, now)) * scale;

	__sync_val_compare_and_swap(scaled, old, old + ((rate - (__s64)old) >> 2));
}

/* One sample. */
static __always_inline void estimate_rates(struct estimate *estimate, const struct statistics *now)
{
	struct statistics *scaled = &estimate->scaled, *seen = &estimate->seen;

	estimate_rate(&scaled->connections, &seen->connections, now->connections, PACKET_SCALE);
	estimate_rate(&scaled->in_packets, &seen->in_packets, now->in_packets, PACKET_SCALE);
	estimate_rate(&scaled->out_packets, &seen->out_packets, now->out_packets, PACKET_SCALE);
	estimate_rate(&scaled->in_bytes, &seen->in_bytes, now->in_bytes, BYTE_SCALE);
	estimate_rate(&scaled->out_bytes, &seen->out_bytes, now->out_bytes, BYTE_SCALE);
}

/* From now on counts and rates begin at zero (ip_vs_zero_stats). */
static __always_inline void set_to_zero(struct estimate *estimate, const struct statistics *now)
{
	estimate->zero = *now;
	estimate->seen = *now;
	__sync_lock_test_and_set(&estimate->scaled.connections, 0);
	__sync_lock_test_and_set(&estimate->scaled.in_packets, 0);
	__sync_lock_test_and_set(&estimate->scaled.out_packets, 0);
	__sync_lock_test_and_set(&estimate->scaled.in_bytes, 0);
	__sync_lock_test_and_set(&estimate->scaled.out_bytes, 0);
}

#endif
