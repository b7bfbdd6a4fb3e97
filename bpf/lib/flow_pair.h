// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Both flows of a connection at once, where they are at home in one bucket, as most are. */
#ifndef BPVS_FLOW_PAIR_H
#define BPVS_FLOW_PAIR_H

#include "flow.h"

/* What a connection's slots have in common. */
static __always_inline __u64 entry_of(__u64 slot)
{
	return slot & ((1ULL << SLOT_DIRECTION_SHIFT) - 1);
}

/* @return whether both have found room, else one of them may have */
static __always_inline int insert_two(struct flow_bucket *bucket, __u64 one, __u64 other)
{
	__u64 next = one;
	__u32 i;

#pragma clang loop unroll(disable)
	for (i = 0; i < FLOW_BUCKET_SLOTS; i++) {
		__u64 *slot = &bucket->slots[i];

		if (*(volatile __u64 *)slot || __sync_val_compare_and_swap(slot, 0, next))
			continue;
		if (next == other)
			return 1;
		next = other;
	}
	return 0;
}

/* @return how many slots of the bucket led to this entry */
static __always_inline __u32 delete_entry(struct flow_bucket *bucket, __u64 entry)
{
	__u32 i, found = 0;

#pragma clang loop unroll(disable)
	for (i = 0; i < FLOW_BUCKET_SLOTS; i++) {
		__u64 slot = *(const volatile __u64 *)&bucket->slots[i];

		if (entry_of(slot) == entry && __sync_val_compare_and_swap(&bucket->slots[i], slot, 0) == slot)
			found += 1;
	}
	return found;
}

/* Whether the bucket leads to another entry for a tuple with one of these hashes, or may: it overflows. */
static __always_inline int has_rival(const struct flow_bucket *bucket, __u64 entry, __u64 hash, __u64 other_hash)
{
	__u32 i;

	if (*(const volatile __u64 *)&bucket->overflowed)
		return 1;
#pragma clang loop unroll(disable)
	for (i = 0; i < FLOW_BUCKET_SLOTS; i++) {
		__u64 slot = *(const volatile __u64 *)&bucket->slots[i];

		if ((is_tagged(slot, hash) || is_tagged(slot, other_hash)) && entry_of(slot) != entry)
			return 1;
	}
	return 0;
}

/*
 * As insert_flow, with both tuples of a connection at once, where both are at home in one bucket (shares_bucket).
 * @return whether it did. Where not, nothing is left behind, and it is insert_flow's to find out why
 */
__noinline int insert_flows(const struct tuple *request, const struct tuple *reply, const struct flow *flow)
{
	struct flow_bucket *bucket, *other;
	__u64 hash, reply_hash, entry;
	__u32 index;

	if (!request || !reply || !flow)
		return 0;
	index = bucket_of(request, DIRECTION_REQUEST);
	bucket = bpf_map_lookup_elem(&flows, &index);
	index = bucket_of(request, DIRECTION_REPLY); /* where a reply would be that is met at ingress */
	other = bpf_map_lookup_elem(&flows, &index);
	if (!bucket || !other || *(const volatile __u64 *)&bucket->overflowed)
		return 0;
	hash = hash_tuple(request);
	reply_hash = hash_tuple(reply);
	entry = entry_of(slot_of(0, flow));
	if (insert_two(bucket, entry | tag_of(hash, DIRECTION_REQUEST), entry | tag_of(reply_hash, DIRECTION_REPLY)) &&
	    !has_rival(bucket, entry, hash, reply_hash) && !has_rival(other, entry, hash, hash))
		return 1;
	delete_entry(bucket, entry);
	return 0;
}

/* The same the other way round. @return whether both were there; the others are for delete_flow */
__noinline int delete_flows(const struct tuple *request, const struct flow *flow)
{
	struct flow_bucket *bucket;
	__u32 index;

	if (!request || !flow)
		return 0;
	index = bucket_of(request, DIRECTION_REQUEST);
	bucket = bpf_map_lookup_elem(&flows, &index);
	return bucket && delete_entry(bucket, entry_of(slot_of(0, flow))) == 2;
}

#endif
