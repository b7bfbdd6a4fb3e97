// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which packets may be ours at all, told by one bit: most that pass a device are not, and should cost next to nothing.
 */
#ifndef BPVS_FILTER_H
#define BPVS_FILTER_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "hash.h"
#include "maps.h"
#include "parse.h"

/* A request goes to a virtual address, as does a hairpin's reply; any other reply comes from a destination. */
static __always_inline int may_be_ours(const struct tuple *tuple, enum hook hook)
{
	__u32 bit = mix_address(fold_address(hook == HOOK_INGRESS ? &tuple->destination : &tuple->source), FILTER_BITS);
	__u32 index = bit / 64;
	const __u64 *word = hook == HOOK_INGRESS ? bpf_map_lookup_elem(&virtual_addresses, &index)
						 : bpf_map_lookup_elem(&destination_addresses, &index);

	return word && *word >> bit % 64 & 1;
}

#endif
