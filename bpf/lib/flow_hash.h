// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where a flow is: its tuple's hash, the bucket that it is at home in, and those where it is for want of room. */
#ifndef BPVS_FLOW_HASH_H
#define BPVS_FLOW_HASH_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "parse.h"

/* Odd numbers without pattern, those of MurmurHash3's finalizer. */
#define FLOW_HASH_FACTOR_1 0xff51afd7ed558ccdULL
#define FLOW_HASH_FACTOR_2 0xc4ceb9fe1a85ec53ULL

static __always_inline __u64 mix_word(__u64 hash, __u64 word, __u64 factor)
{
	hash = (hash ^ word) * factor;
	return hash ^ hash >> 32;
}

/*
 * Of an IPv6 address, whose sender may choose all of it. Of two words the second could take back what the first has
 * changed, were there no secret between them.
 */
static __always_inline __u64 mix_address6(__u64 hash, const __u32 *words)
{
	__u64 secret = flow_seed() | 1;

	hash = mix_word(hash, (__u64)words[0] << 32 | words[1], FLOW_HASH_FACTOR_1) * secret;
	return mix_word(hash, (__u64)words[2] << 32 | words[3], FLOW_HASH_FACTOR_1) * secret;
}

/*
 * The lowest bits are the slot's tag, those above say which buckets are the substitutes. Whoever does not know the seed
 * cannot choose tuples that meet.
 */
static __always_inline __u64 hash_tuple(const struct tuple *tuple)
{
	const __u32 *source = tuple->source.words, *destination = tuple->destination.words;
	__u64 seed = flow_seed(), hash = seed, rest;

	if (tuple->family == FAMILY_IPV4) {
		hash = mix_word(hash, (__u64)source[0] << 32 | destination[0], seed | 1);
	} else {
		hash = mix_address6(hash, source);
		hash = mix_address6(hash, destination);
	}
	rest = (__u64)tuple->hook << 40 | (__u64)tuple->protocol << 32 | (__u32)tuple->source_port << 16 |
	       tuple->destination_port;
	return mix_word(mix_word(hash, rest, seed | 1), 0, FLOW_HASH_FACTOR_2);
}

/*
 * Both flows of most connections are in the bucket of the client, which is the source of a request and the destination
 * of a reply: so they share a cache line. A reply that is met at ingress goes to an address that many connections have
 * in common, this node's or a virtual one, and is told by its sender, too. The port changes the lower bits, with its
 * own two lowest exchanged: the kernel gives a client every other port for its connections to one service, and a CPU
 * fetches two buckets at once.
 */
static __always_inline __u32 bucket_of(const struct tuple *tuple, enum direction direction)
{
	int is_request = direction == DIRECTION_REQUEST, has_sender = !is_request && tuple->hook == HOOK_INGRESS;
	const __u32 *client = is_request ? tuple->source.words : tuple->destination.words;
	__u32 port = bpf_ntohs(is_request ? tuple->source_port : tuple->destination_port);
	__u32 place = (port & ~3U) | (port & 1) << 1 | (port >> 1 & 1);
	__u64 hash = flow_seed() ^ (__u64)tuple->protocol << 32;

	if (tuple->family == FAMILY_IPV4) {
		hash = mix_word(hash, client[0], FLOW_HASH_FACTOR_1);
		if (has_sender)
			hash = mix_word(hash, tuple->source.words[0], FLOW_HASH_FACTOR_1);
	} else {
		hash = mix_address6(hash, client);
		if (has_sender)
			hash = mix_address6(hash, tuple->source.words);
	}
	return ((mix_word(hash, 0, FLOW_HASH_FACTOR_2) >> 32) ^ place) & (flow_buckets() - 1);
}

static __always_inline __u32 substitute_of(__u64 hash, __u32 number)
{
	return hash >> (40 - 8 * number) & (flow_buckets() - 1);
}

#endif
