// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Weighted round robin (net/netfilter/ipvs/ip_vs_wrr.c): passes over the list, each for the destinations of at least
 * its weight; a pass's weight is less by the step than that of the pass before it, down to 1. Here the passes' weights
 * are the kernel's cw, the step its di.
 *
 * Table: its first place says how to read the rest. 0: all of a cycle's choices in turn, each with its pass's weight as
 * the upper half. Otherwise that is the step, and the destinations follow, newest first: the cycle would be too long.
 * State: the place after the last one chosen, and as the upper half the weight of its pass; 0, or the place where the
 * pass begins, as long as that has no choice.
 */
#ifndef BPVS_SCHED_WRR_H
#define BPVS_SCHED_WRR_H

#include "common.h"

#define WRR_HEADING 1 /* places before the first of the cycle or the list */

struct wrr_walk {
	const struct service *service;
	__u32 place;
	__u32 destination;
	__u32 length;
	__u32 weight;  /* of the pass */
	__u32 highest; /* weight of all, and of those that are usable */
	__u32 highest_usable;
};

static __always_inline __u64 wrr_state(__u32 place, __u32 weight)
{
	return (__u64)weight << 32 | place;
}

static __always_inline __u32 wrr_weight(__u64 state)
{
	return state >> 32;
}

/* The weight of the pass that a place of the cycle belongs to. */
static __always_inline __u32 wrr_weight_at(const struct service *service, __u32 place)
{
	__u64 *entry = place_of(service, WRR_HEADING + place);

	return entry ? wrr_weight(*entry) : 0;
}

static long wrr_cycle_step(__u64 step, struct wrr_walk *walk)
{
	__u64 *entry;

	if (walk->place >= walk->length)
		walk->place = 0;
	entry = place_of(walk->service, WRR_HEADING + walk->place);
	if (entry && is_usable(*entry)) {
		walk->destination = *entry;
		walk->weight = wrr_weight(*entry);
		return 1;
	}
	walk->place += 1;
	return 0;
}

/*
 * Where a walk in vain leaves the kernel: where it was if that is within the last pass, because then it goes once
 * around and stops there; else at the end of the last pass, so that the first one follows.
 */
static __always_inline __u64 wrr_state_in_vain(__u64 seen, int is_at_head, __u32 highest_pass)
{
	return wrr_weight(seen) == 1 && !is_at_head ? seen : wrr_state(0, highest_pass);
}

static __always_inline __u64 wrr_along_cycle(struct wrr_walk *walk, __u64 seen)
{
	__u32 place = seen;
	int is_at_head;

	walk->place = place;
	bpf_loop(walk->length, wrr_cycle_step, walk, 0);
	if (walk->destination != NO_CHOICE)
		return wrr_state(walk->place + 1, walk->weight);
	if (!walk->length)
		return seen;
	is_at_head = !place || wrr_weight_at(walk->service, place - 1) != wrr_weight(seen);
	return wrr_state_in_vain(seen, is_at_head, wrr_weight_at(walk->service, 0));
}

/* To the next destination of the list that the pass is for. */
static long wrr_list_step(__u64 step, struct wrr_walk *walk)
{
	const struct destination *destination;
	__u32 index = destination_in(walk->service, WRR_HEADING + walk->place);

	destination = usable_destination(index);
	if (destination && destination->weight >= walk->weight) {
		walk->destination = index;
		return 1;
	}
	walk->place += 1;
	return 0;
}

static long wrr_weigh_step(__u64 step, struct wrr_walk *walk)
{
	__u32 index = destination_in(walk->service, WRR_HEADING + step);
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &index);

	if (!destination)
		return 0;
	if (destination->weight > walk->highest)
		walk->highest = destination->weight;
	if (destination->weight > walk->highest_usable && is_usable(index))
		walk->highest_usable = destination->weight;
	return 0;
}

/* Passes that no usable destination is heavy enough for are not walked one by one: there may be millions. */
static __always_inline __u64 wrr_along_list(struct wrr_walk *walk, __u64 seen, __u32 step)
{
	__u32 first_pass;

	walk->place = seen;
	walk->weight = wrr_weight(seen);
	if (walk->place < walk->length)
		bpf_loop(walk->length - walk->place, wrr_list_step, walk, 0);
	if (walk->destination != NO_CHOICE)
		return wrr_state(walk->place + 1, walk->weight);
	walk->highest = walk->highest_usable = 0;
	bpf_loop(walk->length, wrr_weigh_step, walk, 0);
	if (!walk->highest)
		return seen;
	if (!walk->highest_usable)
		return wrr_state_in_vain(seen, !(__u32)seen, walk->highest - (step - 1));
	first_pass = walk->highest_usable - (step - 1);
	if (walk->weight > step && walk->weight - step < first_pass)
		walk->weight -= step;
	else
		walk->weight = first_pass;
	walk->place = 0;
	bpf_loop(walk->length, wrr_list_step, walk, 0);
	return wrr_state(walk->place + 1, walk->weight);
}

static __always_inline __u32 schedule_wrr(const struct service *service, const struct packet *packet,
					  struct choice *choice)
{
	volatile __u64 *state = state_of(service);
	const __u64 *heading = place_of(service, 0);
	struct wrr_walk walk = { .service = service, .length = service->table_size - WRR_HEADING };
	int i;

	if (!state || !heading || service->table_size < WRR_HEADING)
		return NO_CHOICE;
	for (i = 0; i < STATE_TRIES; i++) {
		__u64 seen = *state, next;

		walk.destination = NO_CHOICE;
		next = *heading ? wrr_along_list(&walk, seen, *heading) : wrr_along_cycle(&walk, seen);
		if (choice->is_trial || __sync_val_compare_and_swap(state, seen, next) == seen)
			break;
	}
	choice->place = WRR_HEADING + walk.place;
	return walk.destination;
}

#endif
