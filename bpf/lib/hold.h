// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which template a connection was opened by, and how many connections a template has. cold->holds is zero for what is
 * no template, else one more than how many hold it: who wants to end a template has to take it from one to zero, so
 * none ends that is held, and none is held that has ended.
 */
#ifndef BPVS_HOLD_H
#define BPVS_HOLD_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "state.h"

#define NS_PER_SECOND 1000000000ULL
/* How long a template stays whose time has come while connections hold it, from then on (ip_vs_conn.c:
 * ip_vs_conn_expire). */
#define HELD_TEMPLATE_SECONDS 60
#define HOLD_TRIES 4

/* Only the template's maker, which holds it for its first connection. */
static __always_inline void begin_holds(struct cold_connection *template)
{
	__sync_fetch_and_add(&template->holds, 2);
}

/* Undoes begin_holds. @return whether nobody else has found the template, and from now on nobody can */
static __always_inline int withdraw_holds(struct cold_connection *template)
{
	return __sync_val_compare_and_swap(&template->holds, 2, 0) == 2;
}

/*
 * Never adds to zero, even for a moment: a claim or a maker that came in between would find a wrong count.
 * @return whether it is a template; if so, it stays until it is let go. Zero, too, if others are faster each time
 */
static __always_inline int hold(struct cold_connection *template)
{
	int try;

#pragma clang loop unroll(full)
	for (try = 0; try < HOLD_TRIES; try++) {
		__u32 holds = *(volatile __u32 *)&template->holds;

		if (!holds)
			return 0;
		if (__sync_val_compare_and_swap(&template->holds, holds, holds + 1) == holds)
			return 1;
	}
	return 0;
}

static __always_inline void let_go(struct cold_connection *template)
{
	__sync_fetch_and_add(&template->holds, -1);
}

/* @param template index plus one, of one that is held. */
static __always_inline void let_go_of(__u32 template)
{
	__u32 index = template - 1;
	struct cold_connection *cold = bpf_map_lookup_elem(&cold_connections, &index);

	if (cold)
		let_go(cold);
}

/* Lets go of the template that a connection was opened by. @param index the connection's */
static __always_inline void leave_template(__u32 index)
{
	struct cold_connection *cold = bpf_map_lookup_elem(&cold_connections, &index);

	if (cold)
		let_go_of(cold->template);
}

/* @return whether nobody holds the template at the index, and from now on nobody can: it may end */
static __always_inline int claim_template(__u32 index)
{
	struct cold_connection *cold = bpf_map_lookup_elem(&cold_connections, &index);

	return cold && __sync_val_compare_and_swap(&cold->holds, 1, 0) == 1;
}

/* Undoes claim_template: what is at the index is another template than was to end. */
static __always_inline void release_template(__u32 index)
{
	struct cold_connection *cold = bpf_map_lookup_elem(&cold_connections, &index);

	if (cold)
		__sync_fetch_and_add(&cold->holds, 1);
}

/*
 * The time of the template at the index has come, but others hold it. It is held here, too, while it is written: it
 * might end, and the entry be another one's.
 */
static __always_inline void keep_template(struct connection *template, __u32 index, __u16 generation, __u64 now)
{
	struct cold_connection *cold = bpf_map_lookup_elem(&cold_connections, &index);

	if (!cold || !hold(cold))
		return;
	if (generation_of(template) == generation) {
		cold->timeout_seconds = HELD_TEMPLATE_SECONDS;
		template->expires = now + HELD_TEMPLATE_SECONDS *NS_PER_SECOND;
	}
	let_go(cold);
}

/*
 * A destination has answered a connection, so its template is no mere attempt. Seldom, so a function of its own.
 * @param index the connection's
 */
static __noinline int assure_template(__u32 index)
{
	struct cold_connection *cold = bpf_map_lookup_elem(&cold_connections, &index);
	struct connection *template;

	if (!cold)
		return 0;
	index = cold->template - 1;
	template = bpf_map_lookup_elem(&connections, &index);
	if (template)
		exchange_state(template, template->generation, STATE_TEMPLATE, STATE_TEMPLATE_ASSURED);
	return 0;
}

#endif
