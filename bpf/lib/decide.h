// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a service to where a new connection goes: by the client's template, or by the scheduler. */
#ifndef BPVS_DECIDE_H
#define BPVS_DECIDE_H

#include "conn.h"
#include "decision.h"
#include "schedule.h"
#include "service.h"
#include "template.h"

/* How often a template is made that another CPU makes at the same time: both may have seen the other and withdrawn. */
#define TEMPLATE_TRIES 4

/*
 * The client's later connections go there, too; or this one goes where another CPU has just led the client. If nobody
 * succeeds, it goes without a template: a socket of the host would get an error for a drop.
 */
static __always_inline enum reason remember(const struct service *service, const struct packet *packet,
					    struct decision *decision)
{
	enum reason reason;
	int try;

#pragma clang loop unroll(disable)
	for (try = 0; try < TEMPLATE_TRIES; try++) {
		reason = make_template(service, packet, decision);
		if (reason != REASON_DROPPED_BEING_OPENED)
			return reason;
		if (follow_template(service, packet, decision, 0))
			break;
	}
	return REASON_TRANSLATED;
}

/* ip_vs_core.c: ip_vs_schedule, ip_vs_sched_persist. @return REASON_TRANSLATED with *decision set, or why it is not */
static __always_inline enum reason decide(const struct service *service, const struct packet *packet,
					  struct decision *decision)
{
	const struct destination *destination;
	struct choice choice = {};
	enum reason reason;
	__u32 index;

	decision->template = 0;
	if (!is_served(service, packet))
		return reason_without_destination(service, packet);
	if (!is_persistent(service) || !follow_template(service, packet, decision, 0)) {
		decision->destination = schedule(service, packet, &choice);
		if (decision->destination == NO_CHOICE)
			return reason_without_destination(service, packet);
		reason = is_persistent(service) ? remember(service, packet, decision) : REASON_TRANSLATED;
		if (reason != REASON_TRANSLATED)
			return reason;
	}
	index = decision->destination;
	destination = bpf_map_lookup_elem(&destinations, &index);
	decision->port = destination ? port_at(service, packet, destination) : 0;
	return REASON_TRANSLATED;
}

/* A connection that was decided on is not opened. */
static __always_inline void take_back(const struct decision *decision)
{
	if (decision->template)
		let_go_of(decision->template);
}

/* What was decided, to a new connection's entry. */
static __always_inline void note_decision(struct connection *connection, __u32 index, const struct decision *decision)
{
	struct cold_connection *cold = bpf_map_lookup_elem(&cold_connections, &index);

	connection->destination_port = decision->port;
	if (!decision->template || !cold)
		return;
	cold->template = decision->template;
	connection->flags |= CONNECTION_PERSISTENT;
}

#endif
