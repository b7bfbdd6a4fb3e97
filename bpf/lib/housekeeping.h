// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What is taken out of the caches of lblc and lblcr, each minute: what schedulers take for forgotten, what belongs to a
 * cache that is gone, and a part of what is too much (net/netfilter/ipvs/ip_vs_lblc.c: ip_vs_lblc_check_expire).
 */
#ifndef BPVS_HOUSEKEEPING_H
#define BPVS_HOUSEKEEPING_H

#include "sched/cache.h"

#define HOUSEKEEPING_NS (60 * SECOND_NS)
/* A service with more addresses than that loses some that were not used for a while. */
#define PLENTY_OF_ADDRESSES 16384
#define THINNED_AFTER_NS (360 * SECOND_NS)

struct housekeeping {
	__u64 now;
	__u64 expiration;
};

static long find_surplus(void *map, __u64 *number, struct cache *cache, struct housekeeping *run)
{
	__u32 surplus = cache->entries > PLENTY_OF_ADDRESSES ? cache->entries - PLENTY_OF_ADDRESSES : 0;

	surplus = surplus * 4 / 3;
	cache->surplus = surplus < PLENTY_OF_ADDRESSES / 2 ? surplus : PLENTY_OF_ADDRESSES / 2;
	return 0;
}

/* Both schedulers' times are told apart by nobody here: the longer one is waited for, entries are of no use before. */
static long drop_address(void *map, struct cached_address_key *key, struct cached_address *entry,
			 struct housekeeping *run)
{
	struct cache *cache = bpf_map_lookup_elem(&caches, &key->cache);

	if (cache && !is_forgotten(cache, entry, run->now, run->expiration)) {
		if (!cache->surplus || entry->last_use + THINNED_AFTER_NS > run->now)
			return 0;
		cache->surplus -= 1;
	}
	if (bpf_map_delete_elem(&cached_addresses, key) == 0 && cache)
		__sync_fetch_and_add(&cache->entries, -1);
	return 0;
}

/* A member of a set that no address has any more. */
static long drop_destination(void *map, struct cached_destination_key *key, struct cached_destination *link,
			     struct housekeeping *run)
{
	const struct cached_address *entry = bpf_map_lookup_elem(&cached_addresses, &link->address);

	if (!entry || entry->set != key->set)
		bpf_map_delete_elem(&cached_destinations, key);
	return 0;
}

static __noinline void keep_house(__u64 now)
{
	__u64 lblc = expiration_of(SCHEDULER_LBLC), lblcr = expiration_of(SCHEDULER_LBLCR);
	struct housekeeping run = { .now = now, .expiration = lblc > lblcr ? lblc : lblcr };

	bpf_for_each_map_elem(&caches, find_surplus, &run, 0);
	bpf_for_each_map_elem(&cached_addresses, drop_address, &run, 0);
	bpf_for_each_map_elem(&cached_destinations, drop_destination, &run, 0);
}

#endif
