// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The index of the connection table: from a packet's tuple to its connection. */
#ifndef BPVS_FLOW_H
#define BPVS_FLOW_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "maps.h"
#include "parse.h"
#include "tuple.h"

/*
 * A slot holds a flow and a tag, that is, some bits of its tuple's hash: a packet is compared only with connections
 * whose tag is its own. A slot of zeros is free, as no generation is zero.
 */
#define SLOT_GENERATION_SHIFT 32
#define SLOT_DIRECTION_SHIFT 48
#define SLOT_TAG_SHIFT 49

/* Odd numbers without pattern, those of MurmurHash3's finalizer. */
#define FLOW_HASH_FACTOR_1 0xff51afd7ed558ccdULL
#define FLOW_HASH_FACTOR_2 0xc4ceb9fe1a85ec53ULL

enum insertion {
	INSERTED,
	TUPLE_TAKEN,
	NO_ROOM,
};

static __always_inline __u64 mix_word(__u64 hash, __u64 word, __u64 factor)
{
	hash = (hash ^ word) * factor;
	return hash ^ hash >> 32;
}

/*
 * Below the bits of the tag, above the number of the bucket. Whoever does not know the seed cannot choose tuples that
 * meet. Half of the client's port, mostly the higher one, is added to the number as it is: the kernel gives a
 * client every other port in a row for its connections to one service, and their buckets are then in a row, too.
 */
static __always_inline __u64 hash_tuple(const struct tuple *tuple)
{
	const __u32 *source = tuple->source.words, *destination = tuple->destination.words;
	__u32 higher = bpf_ntohs(tuple->source_port), lower = bpf_ntohs(tuple->destination_port), other = lower;
	__u64 hash = flow_seed;

	if (higher < lower) {
		lower = higher;
		higher = other;
	}
	if (tuple->family == FAMILY_IPV4) {
		hash = mix_word(hash, (__u64)source[0] << 32 | destination[0], FLOW_HASH_FACTOR_1);
	} else {
		hash = mix_word(hash, (__u64)source[0] << 32 | source[1], FLOW_HASH_FACTOR_1);
		hash = mix_word(hash, (__u64)source[2] << 32 | source[3], FLOW_HASH_FACTOR_1);
		hash = mix_word(hash, (__u64)destination[0] << 32 | destination[1], FLOW_HASH_FACTOR_1);
		hash = mix_word(hash, (__u64)destination[2] << 32 | destination[3], FLOW_HASH_FACTOR_1);
	}
	hash = mix_word(hash, (__u64)tuple->protocol << 40 | (__u64)tuple->hook << 32 | lower, flow_seed | 1);
	hash = mix_word(hash, 0, FLOW_HASH_FACTOR_2);
	return ((hash >> 32) + higher / 2) << 32 | (__u32)mix_word(hash, higher, FLOW_HASH_FACTOR_1);
}

static __always_inline __u64 slot_of(__u64 hash, const struct flow *flow)
{
	return hash << SLOT_TAG_SHIFT | (__u64)flow->direction << SLOT_DIRECTION_SHIFT |
	       (__u64)flow->generation << SLOT_GENERATION_SHIFT | flow->connection;
}

/* A flow is in the bucket that its hash says, or, where that is full, in one far off: buckets in a row fill alike. */
static __always_inline __u32 bucket_of(__u64 hash)
{
	return hash >> 32 & (flow_buckets - 1);
}

static __always_inline __u32 substitute_of(__u32 bucket)
{
	return bucket ^ flow_buckets / 2;
}

static __always_inline int is_tagged(__u64 slot, __u64 hash)
{
	return slot && (slot ^ hash << SLOT_TAG_SHIFT) >> SLOT_TAG_SHIFT == 0;
}

/* The first flow in the bucket whose tuple may be the one with this hash. @return its slot, or 0 */
static __always_inline __u64 tagged_slot(const struct flow_bucket *bucket, __u64 hash)
{
	__u32 i;

#pragma clang loop unroll(full)
	for (i = 0; i < FLOW_BUCKET_SLOTS; i++) {
		__u64 slot = *(const volatile __u64 *)&bucket->slots[i];

		if (is_tagged(slot, hash))
			return slot;
	}
	return 0;
}

/* The connection that a slot leads to, if it has this tuple; *flow is set whether or not. */
static __always_inline struct connection *follow_slot(__u64 slot, const struct tuple *tuple, struct flow *flow)
{
	__u32 entry = slot;
	struct connection *connection = bpf_map_lookup_elem(&connections, &entry);

	*flow = (struct flow){
		.connection = entry,
		.generation = slot >> SLOT_GENERATION_SHIFT,
		.direction = slot >> SLOT_DIRECTION_SHIFT & 1,
	};
	if (!connection || connection->generation != flow->generation ||
	    !has_tuple(connection, entry, flow->direction, tuple))
		return NULL;
	return connection;
}

static __always_inline int search_bucket(const struct flow_bucket *bucket, __u64 hash, const struct tuple *tuple,
					 __u64 except, struct flow *flow)
{
	__u32 i;

#pragma clang loop unroll(disable)
	for (i = 0; i < FLOW_BUCKET_SLOTS; i++) {
		__u64 slot = *(const volatile __u64 *)&bucket->slots[i];

		if (is_tagged(slot, hash) && slot != except && follow_slot(slot, tuple, flow))
			return 1;
	}
	return 0;
}

/*
 * Looks at every flow whose tuple may be this one, but for the slot `except`. A function that is verified by itself, as
 * are those below: their loops would else be walked at every call.
 * @return 1 with *flow set, or 0
 */
__noinline int search_flow(const struct tuple *tuple, __u64 except, struct flow *flow)
{
	const struct flow_bucket *bucket;
	__u32 index;
	__u64 hash;

	if (!tuple || !flow)
		return 0;
	hash = hash_tuple(tuple);
	index = bucket_of(hash);
	bucket = bpf_map_lookup_elem(&flows, &index);
	if (!bucket)
		return 0;
	if (search_bucket(bucket, hash, tuple, except, flow))
		return 1;
	if (!*(const volatile __u64 *)&bucket->overflowed)
		return 0;
	index = substitute_of(index);
	bucket = bpf_map_lookup_elem(&flows, &index);
	return bucket ? search_bucket(bucket, hash, tuple, except, flow) : 0;
}

/*
 * The connection that a packet with this tuple belongs to, and which way it goes. NULL also for one that is only being
 * opened, or ends just now.
 */
static __always_inline struct connection *find_connection(const struct tuple *tuple, struct flow *flow)
{
	__u64 hash = hash_tuple(tuple), slot;
	struct connection *connection = NULL;
	const struct flow_bucket *bucket;
	__u32 index = bucket_of(hash);

	bucket = bpf_map_lookup_elem(&flows, &index);
	if (!bucket)
		return NULL;
	slot = tagged_slot(bucket, hash);
	if (slot)
		connection = follow_slot(slot, tuple, flow);
	/* Seldom: a bucket that overflows, or two tuples with one tag. */
	if (!connection && (slot || bucket->overflowed)) {
		*flow = (struct flow){}; /* Linux 6.1 wants what it passes on to have been written */
		index = search_flow(tuple, 0, flow) ? flow->connection : max_connections;
		connection = bpf_map_lookup_elem(&connections, &index);
	}
	return connection && connection->state != STATE_NONE ? connection : NULL;
}

/* @return whether a slot of the bucket that held `from` holds `to` now */
static __always_inline int exchange_slot(struct flow_bucket *bucket, __u64 from, __u64 to)
{
	__u32 i;

#pragma clang loop unroll(disable)
	for (i = 0; i < FLOW_BUCKET_SLOTS; i++) {
		__u64 *slot = &bucket->slots[i];

		if (*(volatile __u64 *)slot == from && __sync_val_compare_and_swap(slot, from, to) == from)
			return 1;
	}
	return 0;
}

static __always_inline int delete_slot(__u64 hash, __u64 slot)
{
	__u32 index = bucket_of(hash), substitute = substitute_of(index);
	struct flow_bucket *bucket = bpf_map_lookup_elem(&flows, &index), *other;

	if (!bucket)
		return 0;
	if (exchange_slot(bucket, slot, 0))
		return 1;
	other = bpf_map_lookup_elem(&flows, &substitute);
	if (!other || !exchange_slot(other, slot, 0))
		return 0;
	__sync_fetch_and_add(&bucket->overflowed, -1);
	return 1;
}

/* @param tuple as it was inserted. @return whether it was there */
__noinline int delete_flow(const struct tuple *tuple, const struct flow *flow)
{
	__u64 hash;

	if (!tuple || !flow)
		return 0;
	hash = hash_tuple(tuple);
	return delete_slot(hash, slot_of(hash, flow));
}

/* Whoever looks for the flow meanwhile either sees that the bucket overflows or came too early. */
static __always_inline int insert_slot(__u64 hash, __u64 slot)
{
	__u32 index = bucket_of(hash), substitute = substitute_of(index);
	struct flow_bucket *bucket = bpf_map_lookup_elem(&flows, &index), *other;

	if (!bucket)
		return 0;
	if (exchange_slot(bucket, 0, slot))
		return 1;
	other = bpf_map_lookup_elem(&flows, &substitute);
	if (!other)
		return 0;
	__sync_fetch_and_add(&bucket->overflowed, 1);
	if (exchange_slot(other, 0, slot))
		return 1;
	__sync_fetch_and_add(&bucket->overflowed, -1);
	return 0;
}

/*
 * Makes a connection, whose entry is filled, findable by a tuple that no other one has. Of two CPUs that insert the
 * same tuple at once at least one sees the other: each looks again after it has written.
 * @return enum insertion
 */
__noinline int insert_flow(const struct tuple *tuple, const struct flow *flow)
{
	struct flow other = {};
	__u64 hash, slot;

	if (!tuple || !flow)
		return NO_ROOM;
	if (search_flow(tuple, 0, &other))
		return TUPLE_TAKEN;
	hash = hash_tuple(tuple);
	slot = slot_of(hash, flow);
	if (!insert_slot(hash, slot))
		return NO_ROOM;
	if (!search_flow(tuple, slot, &other))
		return INSERTED;
	delete_slot(hash, slot);
	return TUPLE_TAKEN;
}

#endif
