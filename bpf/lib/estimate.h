// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The rates that ipvsadm --rate shows, by the kernel's estimator (net/netfilter/ipvs/ip_vs_est.c). */
#ifndef BPVS_ESTIMATE_H
#define BPVS_ESTIMATE_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "maps.h"

/* Every destination is sampled once in 2 seconds: its difference is halved, then scaled by 2^10, or 2^5 for bytes. */
#define PACKET_SCALE 512
#define BYTE_SCALE 16

static __always_inline void estimate_rate(__u64 *scaled, __u64 *seen, __u64 now, __u32 scale)
{
	__s64 rate = (now - *seen) * scale;

	*seen = now;
	*scaled += (rate - (__s64)*scaled) >> 2;
}

struct cpu_sum {
	struct statistics statistics;
	__u32 index;
};

static long add_cpu(__u64 cpu, struct cpu_sum *sum)
{
	__u32 index = sum->index;
	const struct statistics *copy = bpf_map_lookup_percpu_elem(&destination_statistics, &index, cpu);

	if (!copy)
		return 1;
	sum->statistics.connections += copy->connections;
	sum->statistics.in_packets += copy->in_packets;
	sum->statistics.out_packets += copy->out_packets;
	sum->statistics.in_bytes += copy->in_bytes;
	sum->statistics.out_bytes += copy->out_bytes;
	return 0;
}

/* One sample of one destination. */
static __noinline void estimate_destination(__u32 index)
{
	struct estimate *estimate = bpf_map_lookup_elem(&destination_estimates, &index);
	struct cpu_sum sum = { .index = index };
	const struct statistics *now = &sum.statistics;

	if (!estimate)
		return;
	bpf_loop(possible_cpus, add_cpu, &sum, 0);
	estimate_rate(&estimate->scaled.connections, &estimate->seen.connections, now->connections, PACKET_SCALE);
	estimate_rate(&estimate->scaled.in_packets, &estimate->seen.in_packets, now->in_packets, PACKET_SCALE);
	estimate_rate(&estimate->scaled.out_packets, &estimate->seen.out_packets, now->out_packets, PACKET_SCALE);
	estimate_rate(&estimate->scaled.in_bytes, &estimate->seen.in_bytes, now->in_bytes, BYTE_SCALE);
	estimate_rate(&estimate->scaled.out_bytes, &estimate->seen.out_bytes, now->out_bytes, BYTE_SCALE);
}

#endif
