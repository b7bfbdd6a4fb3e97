// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The Internet checksum (RFC 1071) of bytes that change (RFC 1624). */
#ifndef BPVS_CHECKSUM_H
#define BPVS_CHECKSUM_H

#include <linux/types.h>

/* Of a sum of a few words, the sum of their halves. */
static __always_inline __u32 shorten_sum(__u64 sum)
{
	return (sum & 0xffff) + (sum >> 16);
}

/* Folds a sum to 16 bits. Only a sum of zero becomes zero. */
static __always_inline __u32 fold_sum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The checksum of something whose bytes change by so much. */
static __always_inline __sum16 adjust_checksum(__sum16 checksum, __u32 difference)
{
	return ~fold_sum((__u16)~checksum + difference);
}

/* A ones' complement sum of up to four new words minus old ones, below 2^20: some thousand of them can be added. */
static __always_inline __u32 difference_of(const __be32 *before, const __be32 *after, __u32 words)
{
	__u64 sum = 0;
	__u32 i;

	for (i = 0; i < words; i++)
		sum += (__u64)(__u32)~before[i] + after[i];
	return shorten_sum(sum);
}

#endif
