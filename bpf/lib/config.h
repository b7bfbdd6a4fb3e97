// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Load-time settings: constants to the verifier, which removes what they turn off. */
#ifndef BPVS_CONFIG_H
#define BPVS_CONFIG_H

#include <linux/types.h>

/* Sockets of other network namespaces are not the host's (bpf_get_netns_cookie). */
const volatile __u64 host_netns_cookie = 0;
/* Entries of the maps `connections` and `half_open`; the latter a power of two. */
const volatile __u32 max_connections = 1;
const volatile __u32 max_half_open = 1;
/* Entries of the map `flows`, a power of two above 1; and the secret of its hashes. */
const volatile __u32 flow_buckets = 2;
const volatile __u64 flow_seed = 0;
/* CPUs that a per-CPU map has values for. */
const volatile __u32 possible_cpus = 1;
/* Local pods are sent to straight, see lib/local.h: the control plane attaches local_ingress in place of tc_ingress. */
const volatile _Bool local_redirect = 0;
/* For tests only: time stands still at `virtual_now` of the map `shared`. */
const volatile _Bool has_virtual_clock = 0;

#endif
