// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a packet to its connection, the one it belongs to or the one it begins, and what it does to it. */
#ifndef BPVS_FOLLOW_H
#define BPVS_FOLLOW_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "admit.h"
#include "conn.h"
#include "force.h"
#include "reuse.h"

/*
 * The connection that a packet belongs to, with *flow set.
 * @return NULL where it has none, or where *reason says why it must not go on
 */
static __always_inline struct connection *known_connection(const struct packet *packet, struct flow *flow,
							   enum reason *reason)
{
	struct connection *connection = find_connection(&packet->tuple, flow);

	*reason = REASON_TRANSLATED;
	if (unlikely(!connection) || flow->direction != DIRECTION_REQUEST)
		return connection;
	switch (continuation_of(connection, packet)) {
	case CONTINUES:
		return connection;
	case ENDED:
		remove_connection(flow->connection, flow->generation);
		return NULL;
	case UNSERVED:
		*reason = REASON_DROPPED_DESTINATION_GONE;
		return NULL;
	}
	return NULL;
}

/*
 * The connection that a packet begins as it was decided, with *flow set. One that has to leave for it ends.
 * @return NULL where *reason says why there is none
 */
static __always_inline struct connection *begin_connection(const struct packet *packet, const struct decision *decision,
							   const struct address *source, struct flow *flow,
							   enum reason *reason)
{
	struct admission admission = {};
	__u32 index;

	*reason = open_connection(packet, decision, source, &admission);
	if (*reason != REASON_TRANSLATED || admission.is_joined)
		take_back(decision);
	if (*reason != REASON_TRANSLATED)
		return NULL;
	if (admission.has_displaced) {
		count_reason(REASON_DISPLACED_HALF_OPEN);
		force_end(admission.displaced.connection, admission.displaced.generation, 1);
	}
	*flow = admission.flow;
	index = flow->connection;
	return bpf_map_lookup_elem(&connections, &index);
}

/* The same for a packet that did not come in by an uplink, wherever it is sent. */
static __always_inline struct connection *new_connection(const struct packet *packet, struct flow *flow,
							 enum reason *reason)
{
	struct decision decision = {};

	*reason = admit(packet, &decision);
	return *reason == REASON_TRANSLATED ? begin_connection(packet, &decision, NULL, flow, reason) : NULL;
}

/* State, timer and counters. @return 0, or -1 where there are no settings yet */
static __always_inline int advance_connection(struct connection *connection, const struct packet *packet,
					      const struct flow *flow, __u64 now)
{
	const struct settings *settings_entry;
	__u32 zero = 0;

	settings_entry = bpf_map_lookup_elem(&settings, &zero);
	if (unlikely(!settings_entry))
		return -1;
	advance(connection, settings_entry, packet->event, flow, now);
	count_packet(connection, flow->direction, packet->length);
	return 0;
}

#endif
