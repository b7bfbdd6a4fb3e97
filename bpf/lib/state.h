// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The state of an entry, and whose it is: its generation. One word holds both, and whoever changes it says what it was.
 * So nobody who has looked an entry up long ago changes the state of the next tenant, or ends it.
 */
#ifndef BPVS_STATE_H
#define BPVS_STATE_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

/* How often another CPU may change the state of what is to end: in a row, each by another packet. */
#define END_TRIES 16

_Static_assert(__builtin_offsetof(struct connection, state) % 4 == 0 &&
		       __builtin_offsetof(struct connection, generation) ==
			       __builtin_offsetof(struct connection, state) + 2,
	       "state and generation are one word");

/* Read now, and before whatever is judged by it. */
static __always_inline __u16 generation_of(const struct connection *connection)
{
	return *(const volatile __u16 *)&connection->generation;
}

/* Whether the entry that a flow has led to is still the same tenant's. */
static __always_inline int is_of_generation(const struct connection *connection, const struct flow *flow)
{
	return generation_of(connection) == flow->generation;
}

static __always_inline __u32 word_of(__u16 generation, __u16 state)
{
	const struct connection entry = { .state = state, .generation = generation };
	__u32 word;

	__builtin_memcpy(&word, &entry.state, sizeof(word));
	return word;
}

/* @return whether it was this call that changed it */
static __always_inline int exchange_word(struct connection *connection, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap((__u32 *)&connection->state, from, to) == from;
}

/* @param from no STATE_NONE: that is nobody's to change but whoever fills the entry */
static __always_inline int exchange_state(struct connection *connection, __u16 generation, __u16 from, __u16 to)
{
	return from != STATE_NONE && exchange_word(connection, word_of(generation, from), word_of(generation, to));
}

/* Shows an entry that was filled, with a barrier: what it says must be there before it. */
static __always_inline void begin_state(struct connection *connection, __u16 state)
{
	__sync_lock_test_and_set((__u32 *)&connection->state, word_of(connection->generation, state));
}

/*
 * The tenant with this generation leaves: from now on nobody finds it, and the entry is the caller's. Packets that have
 * found it look once more when they are rewritten.
 * @return the state it had, or STATE_NONE where it was not this call that ended it
 */
static __always_inline __u16 end_state(struct connection *connection, __u16 generation)
{
	__u16 state;
	int try;

#pragma clang loop unroll(disable)
	for (try = 0; try < END_TRIES; try++) {
		state = *(volatile __u16 *)&connection->state;
		if (state == STATE_NONE || generation_of(connection) != generation)
			break;
		if (exchange_word(connection, word_of(generation, state), word_of(generation + 1, STATE_NONE)))
			return state;
	}
	return STATE_NONE;
}

#endif
