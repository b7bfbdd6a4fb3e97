// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whether an address is a virtual one that nobody but us is the host of. */
#ifndef BPVS_HOSTED_H
#define BPVS_HOSTED_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "filter.h"
#include "maps.h"

static __always_inline int is_hosted(const struct address *address, enum family family)
{
	struct hosted_address key = { .address = *address, .family = family };

	return has_address(&virtual_addresses, address) && bpf_map_lookup_elem(&hosted_addresses, &key);
}

#endif
