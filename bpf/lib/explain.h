// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What would become of a client's packet, and why, without changing anything. */
#ifndef BPVS_EXPLAIN_H
#define BPVS_EXPLAIN_H

#include "conn.h"
#include "decide.h"
#include "reuse.h"
#include "view.h"

static __always_inline int explain_known(const struct packet *packet, struct explanation *explanation)
{
	struct connection *connection;
	struct flow flow;

	connection = find_connection(&packet->tuple, &flow);
	if (!connection || flow.direction != DIRECTION_REQUEST)
		return 0;
	switch (continuation_of(connection, packet)) {
	case ENDED:
		return 0;
	case UNSERVED:
		explanation->reason = REASON_DROPPED_DESTINATION_GONE;
		break;
	case CONTINUES:
		explanation->destination = connection->destination_index + 1;
		break;
	}
	explanation->connection = flow.connection + 1;
	return 1;
}

static __noinline void explain_packet(const struct packet *packet, struct explanation *explanation)
{
	struct choice choice = { .is_trial = 1 };
	struct decision decision = {};
	struct service *service;
	__u32 destination;

	if (explain_known(packet, explanation))
		return;
	explanation->reason = service_of(packet, &service);
	if (explanation->reason != REASON_TRANSLATED || !service)
		return;
	explanation->service = service->id + 1;
	explanation->reason = enter_view(packet, &service);
	if (explanation->reason != REASON_TRANSLATED || !service)
		return;
	if (!is_served(service, packet)) {
		explanation->reason = reason_without_destination(service, packet);
		return;
	}
	if (is_persistent(service) && follow_template(service, packet, &decision, 1)) {
		explanation->destination = decision.destination + 1;
		return;
	}
	destination = schedule(service, packet, &choice);
	if (destination == NO_CHOICE) {
		explanation->reason = reason_without_destination(service, packet);
		return;
	}
	explanation->destination = destination + 1;
	explanation->place = choice.place + 1;
}

#endif
