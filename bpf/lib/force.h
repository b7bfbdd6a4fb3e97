// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Connections that have to end before their time, and what then becomes of their templates. */
#ifndef BPVS_FORCE_H
#define BPVS_FORCE_H

#include "conn.h"

/*
 * Ends a connection, and its template with it if no other connection holds that (ip_vs_conn.c: ip_vs_conn_expire,
 * ip_vs_expire_nodest_conn_flush). Not static, so that the verifier checks it once.
 * @param keeps_assured a template stays if a destination has ever answered: for a connection that is half open, so that
 * a flood of clients that do not exist leaves none behind
 */
__noinline int force_end(__u32 index, __u32 generation, int keeps_assured)
{
	const struct connection *connection = bpf_map_lookup_elem(&connections, &index), *template;
	const struct cold_connection *cold = bpf_map_lookup_elem(&cold_connections, &index);
	__u32 template_index, template_generation;

	if (!connection || !cold || !(connection->flags & CONNECTION_PERSISTENT))
		return remove_connection(index, generation);
	template_index = cold->template - 1;
	template = bpf_map_lookup_elem(&connections, &template_index);
	if (!template)
		return 0;
	template_generation = template->generation;
	if (!remove_connection(index, generation))
		return 0;
	if (!keeps_assured || template->state == STATE_TEMPLATE)
		remove_connection(template_index, template_generation);
	return 1;
}

#endif
