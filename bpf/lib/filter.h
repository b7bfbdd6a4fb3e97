// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which packets are none of ours, told by one bit: most that pass a device are not, and should cost next to nothing. */
#ifndef BPVS_FILTER_H
#define BPVS_FILTER_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_helpers.h>
#include "hash.h"
#include "likely.h"
#include "maps.h"

static __always_inline __u32 filter_bit(__u32 folded)
{
	__u32 place = folded & ((1 << FILTER_BLOCK_BITS) - 1);

	return mix_bits(folded >> FILTER_BLOCK_BITS, FILTER_BITS - FILTER_BLOCK_BITS) << FILTER_BLOCK_BITS | place;
}

/* @param filter virtual_addresses or destination_addresses */
static __always_inline int has_address(void *filter, const struct address *address)
{
	__u32 bit = filter_bit(fold_address(address)), index = bit / 64;
	const __u64 *word = bpf_map_lookup_elem(filter, &index);

	return unlikely(!word) || *word >> bit % 64 & 1;
}

/*
 * A request goes to a virtual address, as does a hairpin's reply; any other reply comes from a destination. A packet
 * whose addresses cannot be read yet may be anyone's.
 */
static __always_inline int is_foreign(const void *start, const void *end, enum family family, enum hook hook)
{
	const void *network = start + LINK_HEADER_LENGTH;
	const struct iphdr *ip = network;
	const struct ipv6hdr *ip6 = network;
	struct address address = {};

	if (family == FAMILY_IPV4) {
		if (unlikely((const void *)(ip + 1) > end))
			return 0;
		address.words[0] = hook == HOOK_INGRESS ? ip->daddr : ip->saddr;
	} else {
		if (unlikely((const void *)(ip6 + 1) > end))
			return 0;
		__builtin_memcpy(&address, hook == HOOK_INGRESS ? &ip6->daddr : &ip6->saddr, sizeof(address));
	}
	return !has_address(hook == HOOK_INGRESS ? (void *)&virtual_addresses : (void *)&destination_addresses,
			    &address);
}

/* A marked packet may be for a service of its mark, wherever it goes. */
static __always_inline int may_be_of_mark(const struct __sk_buff *skb)
{
	__u32 zero = 0;
	const struct settings *settings_entry;

	if (!skb->mark)
		return 0;
	settings_entry = bpf_map_lookup_elem(&settings, &zero);
	return settings_entry && settings_entry->service_kinds & SERVICES_OF_MARKS;
}

static __always_inline int is_foreign_skb(const struct __sk_buff *skb, enum family family, enum hook hook)
{
	return is_foreign((void *)(long)skb->data, (void *)(long)skb->data_end, family, hook);
}

static __always_inline int is_foreign_request(const struct __sk_buff *skb, enum family family)
{
	return is_foreign_skb(skb, family, HOOK_INGRESS) && !may_be_of_mark(skb);
}

#endif
