// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The time that connections live by. */
#ifndef BPVS_CLOCK_H
#define BPVS_CLOCK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "maps.h"

/* Of no use to anyone: less than this is not worth dirtying a cache line that two CPUs share. */
#define CLOCK_SLACK_NS (64ULL * 1000 * 1000)

/*
 * Nanoseconds, as exact as the kernel's tick: jiffies, which kernel IPVS's timers go by, too, are read where the kernel
 * counts them; its clocks are functions to call.
 */
static __always_inline __u64 now_ns(void)
{
	if (has_virtual_clock()) {
		__u32 zero = 0;
		struct shared *state = bpf_map_lookup_elem(&shared, &zero);

		return state ? state->virtual_now : 0;
	}
	return bpf_jiffies64() * tick_ns();
}

/*
 * For user space, which has CLOCK_MONOTONIC: jiffies began just before 2^32 (INITIAL_JIFFIES), and fall behind where a
 * kernel without high-resolution timers loses ticks. Both clocks here move with the same tick.
 */
static __always_inline void note_clock(struct shared *state)
{
	state->clock_lead = now_ns() - bpf_ktime_get_coarse_ns();
}

#endif
