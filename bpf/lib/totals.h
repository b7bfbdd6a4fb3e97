// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What destinations have counted, carried on to their services and to the node, which keep it when a destination is
 * gone. It happens now and then, as the kernel's estimator samples its counters.
 */
#ifndef BPVS_TOTALS_H
#define BPVS_TOTALS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "estimate.h"
#include "maps.h"

struct cpu_sum {
	struct statistics statistics;
	__u32 index;
};

static long add_cpu(__u64 cpu, struct cpu_sum *sum)
{
	__u32 index = sum->index;
	const struct destination_traffic *copy = bpf_map_lookup_percpu_elem(&destination_traffic, &index, cpu);

	if (!copy)
		return 1;
	sum->statistics.in_packets += copy->in_packets;
	sum->statistics.out_packets += copy->out_packets;
	sum->statistics.in_bytes += copy->in_bytes;
	sum->statistics.out_bytes += copy->out_bytes;
	return 0;
}

static __always_inline int is_same(const struct statistics *a, const struct statistics *b)
{
	return a->connections == b->connections && a->in_packets == b->in_packets && a->out_packets == b->out_packets &&
	       a->in_bytes == b->in_bytes && a->out_bytes == b->out_bytes;
}

/* What is new since somebody last took it; as in lib/traffic.h, the sum is right whoever takes it in whatever order. */
static __always_inline void take_new(struct statistics *now, struct statistics *carried)
{
	now->connections -= __sync_lock_test_and_set(&carried->connections, now->connections);
	now->in_packets -= __sync_lock_test_and_set(&carried->in_packets, now->in_packets);
	now->out_packets -= __sync_lock_test_and_set(&carried->out_packets, now->out_packets);
	now->in_bytes -= __sync_lock_test_and_set(&carried->in_bytes, now->in_bytes);
	now->out_bytes -= __sync_lock_test_and_set(&carried->out_bytes, now->out_bytes);
}

static __always_inline void add_to(__u32 id, const struct statistics *news)
{
	struct service_statistics *total = bpf_map_lookup_elem(&service_statistics, &id);

	if (!total)
		return; /* the service is gone */
	__sync_fetch_and_add(&total->counted.connections, news->connections);
	__sync_fetch_and_add(&total->counted.in_packets, news->in_packets);
	__sync_fetch_and_add(&total->counted.out_packets, news->out_packets);
	__sync_fetch_and_add(&total->counted.in_bytes, news->in_bytes);
	__sync_fetch_and_add(&total->counted.out_bytes, news->out_bytes);
}

/* Carries what a destination has counted on. @return its estimate, with *now set to its counters; NULL if there is none
 */
static __noinline struct estimate *carry_destination(__u32 index, struct statistics *now)
{
	struct destination_estimate *estimate = bpf_map_lookup_elem(&destination_estimates, &index);
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &index);
	const struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &index);
	struct cpu_sum sum = { .index = index };

	if (!estimate || !destination || !load || !now)
		return NULL;
	sum.statistics.connections = load->opened;
	bpf_loop(possible_cpus(), add_cpu, &sum, 0);
	*now = sum.statistics;
	if (!is_same(now, &estimate->carried)) {
		take_new(&sum.statistics, &estimate->carried);
		add_to(destination->service, &sum.statistics);
		add_to(NODE_STATISTICS, &sum.statistics);
	}
	return &estimate->estimate;
}

static __always_inline void estimate_destination(__u32 index)
{
	struct statistics now;
	struct estimate *estimate = carry_destination(index, &now);

	if (estimate)
		estimate_rates(estimate, &now);
}

static __always_inline void zero_destination(__u32 index)
{
	struct statistics now;
	struct estimate *estimate = carry_destination(index, &now);

	if (estimate)
		set_to_zero(estimate, &now);
}

#endif
