// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The Internet checksum (RFC 1071) of bytes that change (RFC 1624). */
#ifndef BPVS_CHECKSUM_H
#define BPVS_CHECKSUM_H

#include <linux/types.h>

/* Folds a sum below 2^48 to 16 bits. Only a sum of zero becomes zero. */
static __always_inline __u32 fold_sum(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The checksum of something whose bytes change by so much. */
static __always_inline __sum16 adjust_checksum(__sum16 checksum, __u32 difference)
{
	return ~fold_sum((__u64)(__u16)~checksum + difference);
}

/* A ones' complement sum of new words minus old ones, folded to 32 bits. */
static __always_inline __u32 difference_of(const __be32 *before, const __be32 *after, __u32 words)
{
	__u64 sum = 0;
	__u32 i;

	for (i = 0; i < words; i++)
		sum += (__u64)(__u32)~before[i] + after[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

#endif
