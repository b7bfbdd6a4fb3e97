// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What lblc and lblcr share: which destination an address of their clients' went to before. Table: the destinations,
 * newest first. State: the number of the service's cache.
 */
#ifndef BPVS_SCHED_CACHE_H
#define BPVS_SCHED_CACHE_H

#include "../clock.h"
#include "wlc.h"

#define SECOND_NS 1000000000ULL
/* How often the kernel looks for entries that were not used for the time of the sysctl (ip_vs_lblc.c: every 30th run of
 * a timer of 60 s). */
#define EXPIRATION_PERIOD_NS (1800 * SECOND_NS)
/* Not more addresses of one service, as in later kernels (Linux 7.2). */
#define MAX_CACHED_ADDRESSES 24576

static __always_inline __u64 expiration_of(enum scheduler scheduler)
{
	__u32 zero = 0;
	const struct settings *entry = bpf_map_lookup_elem(&settings, &zero);

	if (!entry)
		return 0;
	return scheduler == SCHEDULER_LBLCR ? entry->lblcr_expiration : entry->lblc_expiration;
}

/* Whether the kernel would have dropped the entry by now: at the last of its looks, if not at one before. */
static __always_inline int is_forgotten(const struct cache *cache, const struct cached_address *entry, __u64 now,
					__u64 expiration)
{
	__u64 last_look = now - (now - cache->bound) % EXPIRATION_PERIOD_NS;

	return last_look >= entry->last_use + expiration;
}

/* A member of a set, with what it is compared by. */
struct set_member {
	__s32 overhead;
	__u32 weight;
	__u32 index; /* NO_CHOICE: none */
};

/* What these schedulers work with: too much for the stack. */
struct scratch {
	__u32 is_taken;
	__u32 destination;
	__u64 now;
	__u64 expiration;
	struct cached_address_key key;
	struct cached_address fresh;
	struct cached_destination_key link_key;
	struct cached_destination link;
	/* A walk through a set. */
	struct set_member member;
	struct set_member least;
	struct set_member most;
	__u32 newer;
	__u32 newer_than_most; /* NO_CHOICE: it is the newest one */
	__u32 next;
	__u32 size;
	__u32 is_classic;
};

/* An entry for each CPU, and each object file has its own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* @return NULL where a program has it that this one interrupted: then nothing is remembered of the connection */
static __always_inline struct scratch *take_scratch(const struct service *service, const struct packet *packet,
						    enum scheduler scheduler)
{
	__u32 zero = 0;
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &zero);
	volatile __u64 *number = state_of(service);

	if (!scratch || !number || __sync_val_compare_and_swap(&scratch->is_taken, 0, 1))
		return NULL;
	scratch->now = now_ns();
	scratch->expiration = expiration_of(scheduler);
	scratch->key.cache = *number;
	scratch->key.address = packet->tuple.destination;
	return scratch;
}

static __always_inline void give_back(struct scratch *scratch)
{
	if (scratch)
		__sync_lock_test_and_set(&scratch->is_taken, 0);
}

/* The entry of the address that the client asks for, used now; NULL if there is none, or only a forgotten one. */
static __always_inline struct cached_address *recall_address(const struct scratch *scratch, const struct choice *choice)
{
	const struct cache *cache = bpf_map_lookup_elem(&caches, &scratch->key.cache);
	struct cached_address *entry = bpf_map_lookup_elem(&cached_addresses, &scratch->key);

	if (!cache || !entry || is_forgotten(cache, entry, scratch->now, scratch->expiration))
		return NULL;
	if (!choice->is_trial)
		entry->last_use = scratch->now;
	return entry;
}

/* Makes an entry for the address, or the forgotten one anew. @return NULL where there is no room */
static __always_inline struct cached_address *remember_address(struct scratch *scratch, __u32 destination)
{
	struct cache *cache = bpf_map_lookup_elem(&caches, &scratch->key.cache);
	struct cached_address *entry = bpf_map_lookup_elem(&cached_addresses, &scratch->key);

	if (!cache)
		return NULL;
	scratch->fresh.last_use = scratch->now;
	scratch->fresh.changed = scratch->now;
	scratch->fresh.destination = destination;
	scratch->fresh.is_changing = 0;
	scratch->fresh.set = (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
	if (entry) {
		*entry = scratch->fresh;
		return entry;
	}
	if (cache->entries >= MAX_CACHED_ADDRESSES ||
	    bpf_map_update_elem(&cached_addresses, &scratch->key, &scratch->fresh, BPF_NOEXIST))
		return NULL;
	__sync_fetch_and_add(&cache->entries, 1);
	return bpf_map_lookup_elem(&cached_addresses, &scratch->key);
}

/* The destination of a cached index, if it is one of the service: entries may change under those who read them. */
static __always_inline const struct destination *cached_destination_of(const struct service *service, __u32 index)
{
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &index);

	if (!destination || destination->service != service->id || !(destination->flags & DESTINATION_AVAILABLE))
		return NULL;
	return destination;
}

struct room_walk {
	const struct service *service;
	int found;
};

static long room_step(__u64 step, struct room_walk *walk)
{
	__u32 index = destination_in(walk->service, step);
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &index);
	const struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &index);

	walk->found = destination && load && 2 * (__u64)load->active < destination->weight;
	return walk->found;
}

/* More active connections than its weight says, while another one has less than half as many (is_overloaded of
 * ip_vs_lblc.c; it has nothing to do with thresholds). */
static __always_inline int is_overfull(const struct service *service, const struct destination *destination,
				       __u32 index)
{
	const struct destination_load *load = bpf_map_lookup_elem(&destination_loads, &index);
	struct room_walk walk = { .service = service };

	if (!load || load->active <= destination->weight)
		return 0;
	bpf_loop(service->table_size, room_step, &walk, 0);
	return walk.found;
}

#endif
