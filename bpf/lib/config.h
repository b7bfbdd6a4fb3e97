// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What is known when programs are loaded. It stands in their instructions, where the loader has written it in place of
 * a placeholder (src/dataplane/bpf/constants.ts): no packet waits for a line of memory that says it, and the verifier
 * removes what it turns off.
 */
#ifndef BPVS_CONFIG_H
#define BPVS_CONFIG_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

/* Volatile: one instruction wherever it is used, where the compiler would else keep it on the stack (decision 0032). */
#define LOAD_TIME_CONSTANT(name)                                                                                       \
	({                                                                                                             \
		__u64 value;                                                                                           \
		asm volatile("%0 = %1 ll" : "=r"(value) : "i"((__u64)PLACEHOLDER_MARK << 32 | (name)));                \
		value;                                                                                                 \
	})

/* Sockets of other network namespaces are not the host's (bpf_get_netns_cookie). */
static __always_inline __u64 host_netns_cookie(void)
{
	return LOAD_TIME_CONSTANT(CONSTANT_HOST_NETNS_COOKIE);
}

/* Entries of the map `connections`. */
static __always_inline __u64 max_connections(void)
{
	return LOAD_TIME_CONSTANT(CONSTANT_MAX_CONNECTIONS);
}

/* Entries of the map `half_open`, a power of two. */
static __always_inline __u64 max_half_open(void)
{
	return LOAD_TIME_CONSTANT(CONSTANT_MAX_HALF_OPEN);
}

/* Entries of the map `flows`, a power of two above 1. */
static __always_inline __u64 flow_buckets(void)
{
	return LOAD_TIME_CONSTANT(CONSTANT_FLOW_BUCKETS);
}

/* The secret of the hashes in it. */
static __always_inline __u64 flow_seed(void)
{
	return LOAD_TIME_CONSTANT(CONSTANT_FLOW_SEED);
}

/* CPUs that a per-CPU map has values for. */
static __always_inline __u64 possible_cpus(void)
{
	return LOAD_TIME_CONSTANT(CONSTANT_POSSIBLE_CPUS);
}

/* From one of the kernel's ticks to the next. */
static __always_inline __u64 tick_ns(void)
{
	return LOAD_TIME_CONSTANT(CONSTANT_TICK_NS);
}

/* Whether the kernel says what lib/offload.h asks. */
static __always_inline int tells_offload(void)
{
	return LOAD_TIME_CONSTANT(CONSTANT_TELLS_OFFLOAD);
}

/* Local pods are sent to straight, see lib/local.h: the control plane attaches local_ingress in place of tc_ingress. */
static __always_inline int local_redirect(void)
{
	return LOAD_TIME_CONSTANT(CONSTANT_LOCAL_REDIRECT);
}

/* For tests only: time stands still at `virtual_now` of the map `shared`. */
static __always_inline int has_virtual_clock(void)
{
	return LOAD_TIME_CONSTANT(CONSTANT_HAS_VIRTUAL_CLOCK);
}

#endif
