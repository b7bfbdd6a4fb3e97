// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a client's first packet to its service, and by that one's scheduler to a destination. */
#ifndef BPVS_SCHEDULE_H
#define BPVS_SCHEDULE_H

#include "client.h"
#include "conn.h"
#include "sched/dh.h"
#include "sched/rr.h"
#include "sched/sh.h"

/* The kernel guards FTP's data connections: this source port is never scheduled (ip_vs_core.c: ip_vs_schedule). */
#define FTP_DATA_PORT 20

/* @return REASON_TRANSLATED and the service that a new connection is for, or why there is none */
static __always_inline enum reason service_of(const struct packet *packet, struct service **service)
{
	struct service_key key = {
		.address = packet->tuple.destination,
		.port = packet->tuple.destination_port,
		.protocol = packet->tuple.protocol,
		.family = packet->tuple.family,
	};

	if (!may_open(packet))
		return REASON_PASSED_NOT_OURS;
	*service = bpf_map_lookup_elem(&services, &key);
	if (!*service)
		return REASON_PASSED_NOT_OURS;
	return packet->tuple.source_port == bpf_htons(FTP_DATA_PORT) ? REASON_PASSED_FTP_DATA : REASON_TRANSLATED;
}

static __always_inline enum reason reason_without_destination(const struct service *service)
{
	return service->no_destination == NO_DESTINATION_DROP ? REASON_DROPPED_NO_DESTINATION
							      : REASON_REJECTED_NO_DESTINATION;
}

/* @return an index into destinations, or NO_CHOICE */
static __noinline __u32 schedule(const struct service *service, const struct packet *packet, struct choice *choice)
{
	switch (service->scheduler) {
	case SCHEDULER_RR:
		return schedule_rr(service, packet, choice);
	case SCHEDULER_SH:
		return schedule_sh(service, packet, choice);
	case SCHEDULER_DH:
		return schedule_dh(service, packet, choice);
	default:
		return NO_CHOICE;
	}
}

#endif
