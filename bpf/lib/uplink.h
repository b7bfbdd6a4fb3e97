// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Devices that lead off this node. What comes in by one and is for a destination behind one, too, has both ends
 * outside: the destination would answer the client without us. So its packets come from an address of this node, and
 * are sent straight out: up the stack they would be martians.
 */
#ifndef BPVS_UPLINK_H
#define BPVS_UPLINK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"

static __always_inline int is_uplink(__u32 ifindex)
{
	return bpf_map_lookup_elem(&uplinks, &ifindex) != NULL;
}

/* The node's address for packets that leave by a device; NULL for one that leads nowhere. */
static __always_inline const struct address *source_of_uplink(__u32 ifindex, enum family family)
{
	const struct uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);

	if (!uplink)
		return NULL;
	return family == FAMILY_IPV4 ? &uplink->source4 : &uplink->source6;
}

#endif
