// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* SipHash-1-3 of one 32-bit number, as kernel IPVS's mh hashes (lib/siphash.c: hsiphash_1u32 on 64-bit kernels). */
#ifndef BPVS_SIPHASH_H
#define BPVS_SIPHASH_H

#include <linux/types.h>

static __always_inline __u64 rotate_left(__u64 word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static __always_inline void siphash_round(__u64 v[4])
{
	v[0] += v[1];
	v[1] = rotate_left(v[1], 13) ^ v[0];
	v[0] = rotate_left(v[0], 32);
	v[2] += v[3];
	v[3] = rotate_left(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate_left(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate_left(v[1], 17) ^ v[2];
	v[2] = rotate_left(v[2], 32);
}

/* @param key both halves of the hash's key. @return the lower half of the hash */
static __always_inline __u32 siphash_number(__u32 number, __u64 key)
{
	/* "somepseudorandomlygeneratedbytes" */
	__u64 v[4] = { key ^ 0x736f6d6570736575, key ^ 0x646f72616e646f6d, key ^ 0x6c7967656e657261,
		       key ^ 0x7465646279746573 };
	__u64 block = 4ULL << 56 | number; /* with the message's length as the highest byte: the only one */

	v[3] ^= block;
	siphash_round(v);
	v[0] ^= block;
	v[2] ^= 0xff;
	siphash_round(v);
	siphash_round(v);
	siphash_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
