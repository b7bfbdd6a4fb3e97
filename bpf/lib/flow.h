// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The index of the connection table: from a packet's tuple to its connection. */
#ifndef BPVS_FLOW_H
#define BPVS_FLOW_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "flow_hash.h"
#include "likely.h"
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

enum insertion {
	INSERTED,
	TUPLE_TAKEN,
	NO_ROOM,
};

/* Where flows are that their own bucket has no room for. */
enum {
	SUBSTITUTES = 4,
};

static __always_inline __u64 tag_of(__u64 hash, enum direction direction)
{
	return hash << SLOT_TAG_SHIFT | (__u64)direction << SLOT_DIRECTION_SHIFT;
}

static __always_inline __u64 slot_of(__u64 hash, const struct flow *flow)
{
	return tag_of(hash, flow->direction) | (__u64)flow->generation << SLOT_GENERATION_SHIFT | flow->connection;
}

/* The tag first: nearly no slot has it, and which ones are free cannot be foretold. */
static __always_inline int is_tagged(__u64 slot, __u64 hash)
{
	return (slot ^ hash << SLOT_TAG_SHIFT) >> SLOT_TAG_SHIFT == 0 && slot;
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
static __always_inline struct connection *follow_slot(__u64 slot, const struct tuple *tuple, enum family family,
						      struct flow *flow)
{
	__u32 entry = slot;
	struct connection *connection = bpf_map_lookup_elem(&connections, &entry);

	*flow = (struct flow){
		.connection = entry,
		.generation = slot >> SLOT_GENERATION_SHIFT,
		.direction = slot >> SLOT_DIRECTION_SHIFT & 1,
	};
	if (unlikely(!connection || connection->generation != flow->generation ||
		     !has_tuple(connection, entry, flow->direction, tuple, family)))
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

		if (is_tagged(slot, hash) && slot != except && follow_slot(slot, tuple, tuple->family, flow))
			return 1;
	}
	return 0;
}

/*
 * As search_bucket, in the bucket of a flow of this direction.
 * @return 1, or 0 with *overflowed set where it may be in a substitute
 */
static __always_inline int search_home(const struct tuple *tuple, enum direction direction, __u64 hash, __u64 except,
				       struct flow *flow, int *overflowed)
{
	__u32 index = bucket_of(tuple, direction);
	const struct flow_bucket *bucket = bpf_map_lookup_elem(&flows, &index);

	if (!bucket)
		return 0;
	if (search_bucket(bucket, hash, tuple, except, flow))
		return 1;
	if (*(const volatile __u64 *)&bucket->overflowed)
		*overflowed = 1;
	return 0;
}

/*
 * Looks at every flow whose tuple may be this one, but for the slot `except`. A function that is verified by itself, as
 * are those below: their loops would else be walked at every call.
 * @return 1 with *flow set, or 0
 */
__noinline int search_flow(const struct tuple *tuple, __u64 hash, __u64 except, struct flow *flow)
{
	const struct flow_bucket *bucket;
	int overflowed = 0;
	__u32 index, i;

	if (!tuple || !flow)
		return 0;
	if (tuple->hook == HOOK_INGRESS && search_home(tuple, DIRECTION_REQUEST, hash, except, flow, &overflowed))
		return 1;
	if (search_home(tuple, DIRECTION_REPLY, hash, except, flow, &overflowed))
		return 1;
	for (i = 0; overflowed && i < SUBSTITUTES; i++) {
		index = substitute_of(hash, i);
		bucket = bpf_map_lookup_elem(&flows, &index);
		if (bucket && search_bucket(bucket, hash, tuple, except, flow))
			return 1;
	}
	return 0;
}

/*
 * The connection of the first slot with this tag in the bucket of a flow of this direction, if it has this tuple.
 * @return NULL, with *is_elsewhere set where another slot may lead to it
 */
static __always_inline struct connection *find_at_home(const struct tuple *tuple, enum family family,
						       enum direction direction, __u64 hash, struct flow *flow,
						       int *is_elsewhere)
{
	struct connection *connection = NULL;
	const struct flow_bucket *bucket;
	__u32 index = bucket_of(tuple, direction);
	__u64 slot;

	bucket = bpf_map_lookup_elem(&flows, &index);
	if (!bucket)
		return NULL;
	slot = tagged_slot(bucket, hash);
	if (likely(slot))
		connection = follow_slot(slot, tuple, family, flow);
	/* Seldom: a bucket that overflows, or two tuples with one tag. */
	if (unlikely(!connection && (slot || bucket->overflowed)))
		*is_elsewhere = 1;
	return connection;
}

/*
 * A connection that is not the first one with its tag at home: a reply's that is met at ingress, which those of outside
 * connections and of hairpins are, and whatever find_at_home does not know. Few packets need it, so it is out of the
 * way of all others.
 * @param except the slot of a connection that is not open, or 0. Until its insertion meets an open one of the same
 * tuple it hides that
 */
static __noinline struct connection *find_elsewhere(const struct tuple *tuple, __u64 hash, __u64 except,
						    int is_elsewhere, struct flow *flow)
{
	struct connection *connection;
	__u32 index;

	if (tuple->hook == HOOK_INGRESS && !except) {
		connection = find_at_home(tuple, tuple->family, DIRECTION_REPLY, hash, flow, &is_elsewhere);
		if (connection && connection->state != STATE_NONE)
			return connection;
		if (connection)
			except = slot_of(hash, flow);
	}
	if (!except && !is_elsewhere)
		return NULL;
	*flow = (struct flow){}; /* Linux 6.1 wants what it passes on to have been written */
	index = search_flow(tuple, hash, except, flow) ? flow->connection : max_connections();
	connection = bpf_map_lookup_elem(&connections, &index);
	return connection && connection->state != STATE_NONE ? connection : NULL;
}

/*
 * The connection that a packet with this tuple belongs to, and which way it goes. NULL also for one that is only being
 * opened, or ends just now.
 */
static __always_inline struct connection *find_connection(const struct tuple *tuple, struct flow *flow)
{
	enum family family = tuple->family; /* mostly a constant, which helpers would make the compiler forget */
	enum direction direction = tuple->hook == HOOK_INGRESS ? DIRECTION_REQUEST : DIRECTION_REPLY;
	struct connection *connection;
	__u64 hash = hash_tuple(tuple);
	int is_elsewhere = 0;

	connection = find_at_home(tuple, family, direction, hash, flow, &is_elsewhere);
	if (likely(connection && connection->state != STATE_NONE))
		return connection;
	return find_elsewhere(tuple, hash, connection ? slot_of(hash, flow) : 0, is_elsewhere, flow);
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

/* The same for the first of the substitutes that held it, but for one that is the flow's own bucket. */
static __always_inline int exchange_substitute(__u64 hash, __u32 own, __u64 from, __u64 to)
{
	struct flow_bucket *bucket;
	__u32 index, i;

	for (i = 0; i < SUBSTITUTES; i++) {
		index = substitute_of(hash, i);
		if (index == own)
			continue;
		bucket = bpf_map_lookup_elem(&flows, &index);
		if (bucket && exchange_slot(bucket, from, to))
			return 1;
	}
	return 0;
}

/* @param tuple as it was inserted. @return whether it was there */
__noinline int delete_flow(const struct tuple *tuple, const struct flow *flow)
{
	struct flow_bucket *bucket;
	__u64 hash, slot;
	__u32 index;

	if (!tuple || !flow)
		return 0;
	hash = hash_tuple(tuple);
	slot = slot_of(hash, flow);
	index = bucket_of(tuple, flow->direction);
	bucket = bpf_map_lookup_elem(&flows, &index);
	if (!bucket)
		return 0;
	if (exchange_slot(bucket, slot, 0))
		return 1;
	/* Its own insertion has counted it, if it is elsewhere. */
	if (!*(const volatile __u64 *)&bucket->overflowed || !exchange_substitute(hash, index, slot, 0))
		return 0;
	__sync_fetch_and_add(&bucket->overflowed, -1);
	return 1;
}

/*
 * Whoever looks for the flow meanwhile either sees that the bucket overflows or came too early. A function of its own
 * for the sake of the stack.
 */
static __noinline int insert_slot(const struct tuple *tuple, enum direction direction, __u64 hash, __u64 slot)
{
	__u32 index = bucket_of(tuple, direction);
	struct flow_bucket *bucket = bpf_map_lookup_elem(&flows, &index);

	if (!bucket)
		return 0;
	if (exchange_slot(bucket, 0, slot))
		return 1;
	__sync_fetch_and_add(&bucket->overflowed, 1);
	if (exchange_substitute(hash, index, 0, slot))
		return 1;
	__sync_fetch_and_add(&bucket->overflowed, -1);
	return 0;
}

/* Whether a connection has this tuple. */
__noinline int is_taken(const struct tuple *tuple)
{
	struct flow flow = {};

	return tuple && search_flow(tuple, hash_tuple(tuple), 0, &flow);
}

/*
 * Makes a connection, whose entry is filled, findable by a tuple that was looked for before, and that no other one had.
 * Of two CPUs that insert the same tuple at least one sees the other: each looks again after it has written.
 * @return enum insertion
 */
__noinline int insert_flow(const struct tuple *tuple, const struct flow *flow)
{
	struct flow other = {};
	__u64 hash, slot;

	if (!tuple || !flow)
		return NO_ROOM;
	hash = hash_tuple(tuple);
	slot = slot_of(hash, flow);
	if (!insert_slot(tuple, flow->direction, hash, slot))
		return NO_ROOM;
	if (!search_flow(tuple, hash, slot, &other))
		return INSERTED;
	delete_flow(tuple, flow);
	return TUPLE_TAKEN;
}

#endif
