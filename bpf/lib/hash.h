// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Hashes of addresses: the one that kernel IPVS takes, and one for the filters. */
#ifndef BPVS_HASH_H
#define BPVS_HASH_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

/* An IPv6 address is hashed as the sum without carry of its words; of IPv4 all but the first are zero. */
static __always_inline __u32 fold_address(const struct address *address)
{
	return bpf_ntohl(address->words[0] ^ address->words[1] ^ address->words[2] ^ address->words[3]);
}

/* include/linux/hash.h: hash_32() */
static __always_inline __u32 hash_address(__u32 folded, __u32 bits)
{
	return (folded * 0x61C88647U) >> (32 - bits);
}

/*
 * A hash that looks random also for numbers in a row, which hash_address spreads evenly: two rows of them would then
 * meet in all bits or in none. The finalizer of MurmurHash3.
 */
static __always_inline __u32 mix_bits(__u32 number, __u32 bits)
{
	number ^= number >> 16;
	number *= 0x85ebca6bU;
	number ^= number >> 13;
	number *= 0xc2b2ae35U;
	number ^= number >> 16;
	return number >> (32 - bits);
}

#endif
