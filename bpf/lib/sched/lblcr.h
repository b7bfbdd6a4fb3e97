// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Locality-based least connection with replication (net/netfilter/ipvs/ip_vs_lblcr.c): an address has a set of
 * destinations, which grows when the least loaded of it is too full, and shrinks when it has not changed for long. The
 * set is a list from the newest to the oldest, its members in a map of their own: it can be as large as the service.
 */
#ifndef BPVS_SCHED_LBLCR_H
#define BPVS_SCHED_LBLCR_H

#include "cache.h"

/* More members than any set can have. */
#define MAX_SET (1 << 16)

struct set_walk {
	const struct service *service;
	struct scratch *scratch;
};

/* Whether a has more load for its weight than b. */
static __always_inline int is_heavier(const struct set_member *a, const struct set_member *b)
{
	return (__s64)a->overhead * b->weight > (__s64)b->overhead * a->weight;
}

/* The most loaded one is looked for among all members, the least loaded one among those that may get connections. */
static __always_inline void weigh_member(const struct service *service, struct scratch *scratch,
					 const struct destination *destination)
{
	const struct set_member *member = &scratch->member;

	if (!member->weight)
		return;
	if (scratch->most.index == NO_CHOICE || is_heavier(member, &scratch->most)) {
		scratch->most = *member;
		scratch->newer_than_most = scratch->newer;
	}
	if (!cached_destination_of(service, member->index) || is_overloaded(destination, member->index))
		return;
	if (scratch->least.index == NO_CHOICE || is_heavier(&scratch->least, member))
		scratch->least = *member;
}

static long set_step(__u64 step, struct set_walk *walk)
{
	struct scratch *scratch = walk->scratch;
	const struct cached_destination *link;
	const struct destination *destination;
	const struct destination_load *load;

	scratch->member.index = scratch->next;
	scratch->link_key.destination = scratch->next;
	destination = bpf_map_lookup_elem(&destinations, &scratch->member.index);
	load = bpf_map_lookup_elem(&destination_loads, &scratch->member.index);
	link = bpf_map_lookup_elem(&cached_destinations, &scratch->link_key);
	if (!link || !load || !destination)
		return 1;
	scratch->member.overhead = overhead_of(load, scratch->is_classic);
	scratch->member.weight = destination->weight;
	weigh_member(walk->service, scratch, destination);
	scratch->size++;
	scratch->newer = scratch->next;
	scratch->next = link->older;
	return 0;
}

static __always_inline void walk_set(const struct service *service, const struct cached_address *entry,
				     struct scratch *scratch)
{
	struct set_walk walk = { .service = service, .scratch = scratch };

	scratch->link_key.set = entry->set;
	scratch->least.index = scratch->most.index = NO_CHOICE;
	scratch->newer = NO_CHOICE;
	scratch->next = entry->destination;
	scratch->size = 0;
	scratch->is_classic = is_classic_profile();
	bpf_loop(MAX_SET, set_step, &walk, 0);
}

/* A change of the set by another CPU is not waited for: then this one is left out. */
static __always_inline int begin_change(struct cached_address *entry)
{
	return __sync_val_compare_and_swap(&entry->is_changing, 0, 1) == 0;
}

static __always_inline void end_change(struct cached_address *entry, const struct scratch *scratch)
{
	entry->changed = scratch->now;
	__sync_lock_test_and_set(&entry->is_changing, 0);
}

/* Takes the most loaded member out, unless the list around it has changed since it was walked. */
static __always_inline void shrink_set(struct cached_address *entry, struct scratch *scratch)
{
	struct cached_destination *newer, *link;

	if (!begin_change(entry))
		return;
	scratch->link_key.destination = scratch->newer_than_most;
	newer = bpf_map_lookup_elem(&cached_destinations, &scratch->link_key);
	scratch->link_key.destination = scratch->most.index;
	link = bpf_map_lookup_elem(&cached_destinations, &scratch->link_key);
	if (link && newer && newer->older == scratch->most.index) {
		newer->older = link->older;
		bpf_map_delete_elem(&cached_destinations, &scratch->link_key);
	} else if (link && !newer && entry->destination == scratch->most.index) {
		entry->destination = link->older;
		bpf_map_delete_elem(&cached_destinations, &scratch->link_key);
	}
	end_change(entry, scratch);
}

/* Enters a destination as a member. @param older the newest member so far, NO_CHOICE if it is the first */
static __always_inline int insert_member(struct scratch *scratch, __u32 destination, __u32 older)
{
	scratch->link_key.destination = destination;
	scratch->link.address = scratch->key;
	scratch->link.older = older;
	return bpf_map_update_elem(&cached_destinations, &scratch->link_key, &scratch->link, BPF_NOEXIST) == 0;
}

static __always_inline void grow_set(struct cached_address *entry, struct scratch *scratch, __u32 destination)
{
	scratch->link_key.set = entry->set;
	scratch->link_key.destination = destination;
	if (bpf_map_lookup_elem(&cached_destinations, &scratch->link_key) || !begin_change(entry))
		return;
	if (insert_member(scratch, destination, entry->destination))
		entry->destination = destination;
	end_change(entry, scratch);
}

static __always_inline void begin_set(struct scratch *scratch, __u32 destination)
{
	const struct cached_address *entry = remember_address(scratch, destination);

	if (!entry)
		return;
	scratch->link_key.set = entry->set;
	insert_member(scratch, destination, NO_CHOICE);
}

/* The member that can take a connection, or NO_CHOICE; a set that has not changed for long gets smaller after that. */
static __always_inline __u32 choose_member(const struct service *service, const struct choice *choice,
					   struct cached_address *entry, struct scratch *scratch)
{
	const struct destination *least;

	walk_set(service, entry, scratch);
	if (!choice->is_trial && scratch->size > 1 && scratch->most.index != NO_CHOICE &&
	    scratch->now > entry->changed + scratch->expiration)
		shrink_set(entry, scratch);
	least = bpf_map_lookup_elem(&destinations, &scratch->least.index);
	return least && !is_overfull(service, least, scratch->least.index) ? scratch->least.index : NO_CHOICE;
}

static __always_inline void lblcr_remember(struct scratch *scratch, struct cached_address *entry, __u32 destination)
{
	if (destination == NO_CHOICE)
		return;
	if (entry)
		grow_set(entry, scratch, destination);
	else
		begin_set(scratch, destination);
}

/* Not static, so that its stack is its own. */
__noinline __u32 schedule_lblcr(const struct service *service, const struct packet *packet, struct choice *choice)
{
	struct cached_address *entry = NULL;
	__u32 destination = NO_CHOICE;
	struct scratch *scratch;

	if (!service || !packet || !choice)
		return NO_CHOICE;
	scratch = take_scratch(service, packet, SCHEDULER_LBLCR);
	if (scratch)
		entry = recall_address(scratch, choice);
	if (entry)
		destination = choose_member(service, choice, entry, scratch);
	if (destination == NO_CHOICE) {
		destination = schedule_wlc(service, packet, choice);
		if (scratch && !choice->is_trial)
			lblcr_remember(scratch, entry, destination);
	}
	give_back(scratch);
	return destination;
}

#endif
