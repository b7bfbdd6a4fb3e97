// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What happens by itself, by a timer of the kernel that needs no daemon: expiry of connections, estimates of rates,
 * order in caches. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "lib/clock.h"
#include "lib/conn.h"
#include "lib/force.h"
#include "lib/housekeeping.h"
#include "lib/orphans.h"
#include "lib/stats.h"
#include "lib/totals.h"

#define CLOCK_MONOTONIC 1
/* Each tick looks at a hundredth of the entries in use, so that all are seen well within two seconds. */
#define TICK_NS (16ULL * 1000 * 1000)
#define TICKS_PER_ROUND 100
#define ENTRIES_AT_LEAST 64
/* Two seconds: at each tick the destinations whose turn it is are sampled, and after the last ones the services. */
#define TICKS_PER_ESTIMATE 125

struct slice {
	__u64 now;
	__u32 start;
	__u32 entries; /* in use, or once used */
};

/*
 * A flood of clients that do not exist leaves no templates behind, however slow: what is half open takes along one that
 * no destination has ever answered. Datagrams often stay without an answer, so theirs stay.
 */
static __always_inline int expire(const struct connection *connection, __u32 index, __u16 generation)
{
	if (connection->is_half_open && connection->protocol != IPPROTO_UDP)
		return force_end(index, generation, 1);
	return remove_connection(index, generation);
}

static long visit(__u64 step, struct slice *slice)
{
	struct connection *connection;
	__u32 index = slice->start + step;
	__u16 generation;

	if (index >= slice->entries)
		index -= slice->entries;
	connection = bpf_map_lookup_elem(&connections, &index);
	if (!connection)
		return 0;
	generation = generation_of(connection);
	if (connection->state == STATE_NONE)
		return 0;
	if (connection->expires > slice->now) {
		flush_traffic(connection, index);
		return 0;
	}
	if (expire(connection, index, generation))
		count_reason(REASON_EXPIRED);
	else if (connection->flags & CONNECTION_TEMPLATE)
		keep_template(connection, index, generation, slice->now);
	return 0;
}

static __always_inline void sweep_some(struct shared *state, __u32 count)
{
	struct slice slice = { .now = now_ns(), .start = state->sweep_cursor, .entries = state->used_connections };
	__u32 next;

	if (slice.start >= slice.entries)
		slice.start = 0;
	if (count > slice.entries)
		count = slice.entries;
	bpf_loop(count, visit, &slice, 0);
	next = slice.start + count;
	state->sweep_cursor = next < slice.entries ? next : next - slice.entries;
}

static long estimate_step(__u64 step, __u32 *first)
{
	estimate_destination(*first + step * TICKS_PER_ESTIMATE);
	return 0;
}

static long estimate_service(void *map, __u32 *id, struct service_statistics *statistics, void *context)
{
	struct statistics now = statistics->counted;

	estimate_rates(&statistics->estimate, &now);
	return 0;
}

static __always_inline void estimate_some(struct shared *state)
{
	__u32 turn = state->estimate_turn;

	if (turn < state->used_destinations)
		bpf_loop((state->used_destinations - turn - 1) / TICKS_PER_ESTIMATE + 1, estimate_step, &turn, 0);
	if (turn + 1 < TICKS_PER_ESTIMATE) {
		state->estimate_turn = turn + 1;
		return;
	}
	bpf_for_each_map_elem(&service_statistics, estimate_service, NULL, 0);
	state->estimate_turn = 0;
}

static __always_inline void keep_house_in_time(struct shared *state)
{
	__u64 now = now_ns();

	if (now - state->kept_house < HOUSEKEEPING_NS)
		return;
	state->kept_house = now;
	keep_house(now);
}

static __always_inline void do_tick(void)
{
	__u32 zero = 0;
	struct shared *state = bpf_map_lookup_elem(&shared, &zero);

	if (!state)
		return;
	note_clock(state);
	sweep_some(state, state->used_connections / TICKS_PER_ROUND + ENTRIES_AT_LEAST);
	estimate_some(state);
	keep_house_in_time(state);
}

static int tick(void *map, int *key, struct sweeper *sweeper)
{
	do_tick();
	bpf_timer_start(&sweeper->timer, TICK_NS, 0);
	return 0;
}

/* Run once by a daemon that starts; a timer that runs already gets the new program's tick. @return 0 or a negative
 * errno */
SEC("tc")
int start_sweep(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct sweeper *sweeper = bpf_map_lookup_elem(&sweepers, &zero);
	struct shared *state = bpf_map_lookup_elem(&shared, &zero);

	if (!sweeper || !state)
		return -1;
	note_clock(state);
	bpf_timer_init(&sweeper->timer, &sweepers, CLOCK_MONOTONIC);
	if (bpf_timer_set_callback(&sweeper->timer, tick))
		return -2;
	return bpf_timer_start(&sweeper->timer, 0, 0);
}

SEC("tc")
int stop_sweep(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct sweeper *sweeper = bpf_map_lookup_elem(&sweepers, &zero);

	return sweeper ? bpf_timer_cancel(&sweeper->timer) : -1;
}

/* What the timer does at one tick, for the bench. */
SEC("tc")
int run_tick(struct __sk_buff *skb)
{
	do_tick();
	return 0;
}

/* One whole round of each at once, for tests with a virtual clock. */
SEC("tc")
int estimate(struct __sk_buff *skb)
{
	__u32 turn;

	for (turn = 0; turn < TICKS_PER_ESTIMATE; turn++) {
		__u32 zero = 0;
		struct shared *state = bpf_map_lookup_elem(&shared, &zero);

		if (state)
			estimate_some(state);
	}
	return 0;
}

SEC("tc")
int sweep(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct shared *state = bpf_map_lookup_elem(&shared, &zero);

	if (state)
		sweep_some(state, state->used_connections);
	return 0;
}

/* Looks through the caches at once, for tests with a virtual clock. */
SEC("tc")
int keep_house_now(struct __sk_buff *skb)
{
	keep_house(now_ns());
	return 0;
}

/*
 * A removed destination's connections become orphans, those of one that came back cease to be. With expire_nodest_conn
 * orphans end at once (ip_vs_conn.c: ip_vs_expire_nodest_conn_flush), but for those of connected sockets, which
 * somebody has to destroy first (lib/orphans.h).
 */
static long orphan_step(__u64 step, __u32 *expires_orphans)
{
	__u32 index = step, destination_index;
	struct connection *connection = bpf_map_lookup_elem(&connections, &index);
	__u16 generation;
	__u8 is_orphan;

	if (!connection)
		return 0;
	generation = generation_of(connection);
	if (connection->state == STATE_NONE)
		return 0;
	destination_index = connection->destination_index;
	is_orphan = !is_available(destination_index);
	if (is_orphan == connection->is_orphan)
		return 0;
	flush_traffic(connection, index);
	connection->is_orphan = is_orphan;
	if (generation_of(connection) != generation) /* the next tenant's */
		connection->is_orphan = !is_available(connection->destination_index);
	if (is_orphan && *expires_orphans && connection->expires != NEVER)
		force_end(index, generation, 0);
	return 0;
}

/* Run by the control plane after it has removed destinations, or brought removed ones back. */
SEC("tc")
int mark_orphans(struct __sk_buff *skb)
{
	__u32 zero = 0, expires_orphans;
	struct shared *state = bpf_map_lookup_elem(&shared, &zero);
	const struct settings *settings_entry = bpf_map_lookup_elem(&settings, &zero);

	if (!state || !settings_entry)
		return 0;
	expires_orphans = settings_entry->expire_nodest_conn;
	bpf_loop(state->used_connections, orphan_step, &expires_orphans, 0);
	return 0;
}

/* Fills orphaned_sockets; cb[0] says whether TCP is wanted, too. */
SEC("tc")
int list_orphaned_sockets(struct __sk_buff *skb)
{
	__u32 zero = 0, with_tcp = skb->cb[0];
	struct shared *state = bpf_map_lookup_elem(&shared, &zero);

	if (state)
		bpf_loop(state->used_connections, list_orphaned_socket_step, &with_tcp, 0);
	return 0;
}

/* Ends the connection at the index cb[0], as long as its generation is cb[1]. */
SEC("tc")
int end_connection(struct __sk_buff *skb)
{
	remove_connection(skb->cb[0], skb->cb[1]);
	return 0;
}

/* Which kinds of services there are that take more than a packet's address and port: cb[0], enum service_kind. */
SEC("tc")
int set_service_kinds(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct settings *settings_entry = bpf_map_lookup_elem(&settings, &zero);

	if (settings_entry)
		settings_entry->service_kinds = skb->cb[0];
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
