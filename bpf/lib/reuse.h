// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whether a client's packet may continue the connection it is found to belong to. */
#ifndef BPVS_REUSE_H
#define BPVS_REUSE_H

#include "conn.h"

/* What became of the packet's connection; its entry is only removed where the packet begins a new one. */
enum continuation {
	CONTINUES,
	ENDED,    /* treat the packet as one without connection */
	UNSERVED, /* drop it: the destination is gone, but may come back */
};

/*
 * ip_vs_core.c: ip_vs_in, is_new_conn_expected. A SYN on an entry in TIME_WAIT or CLOSE, or an INIT on one in
 * CLOSED, begins a new connection (conn_reuse_mode), so does one for a destination of weight 0, and the entries of a
 * removed destination end at once (both expire_nodest_conn).
 */
static __always_inline enum continuation continuation_of(const struct connection *connection,
							 const struct packet *packet)
{
	__u32 zero = 0, destination_index = connection->destination_index, state = connection->state;
	const struct settings *settings_entry;
	const struct destination *destination;

	if (likely(!connection->is_orphan && !packet->has_syn))
		return CONTINUES;
	settings_entry = bpf_map_lookup_elem(&settings, &zero);
	destination = bpf_map_lookup_elem(&destinations, &destination_index);
	if (!settings_entry || !destination)
		return CONTINUES;
	if (connection->is_orphan)
		return settings_entry->expire_nodest_conn ? ENDED : UNSERVED;
	if (settings_entry->expire_nodest_conn && destination->weight == 0)
		return ENDED;
	if (settings_entry->conn_reuse_mode && !(connection->flags & CONNECTION_PERSISTENT) &&
	    (state == STATE_TIME_WAIT || state == STATE_CLOSE || state == STATE_SCTP_CLOSED))
		return ENDED;
	return CONTINUES;
}

#endif
