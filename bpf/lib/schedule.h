// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a client's first packet to its service, and by that one's scheduler to a destination. */
#ifndef BPVS_SCHEDULE_H
#define BPVS_SCHEDULE_H

#include "conn.h"
#include "sched/dh.h"
#include "sched/rr.h"
#include "sched/sh.h"

/* The kernel guards FTP's data connections: this source port is never scheduled (ip_vs_core.c: ip_vs_schedule). */
#define FTP_DATA_PORT 20

/*
 * TCP begins with a SYN, whatever its other flags but RST; SCTP with an INIT, which travels alone; anything of UDP may
 * be the first.
 */
static __always_inline int may_open(const struct packet *packet)
{
	switch (packet->tuple.protocol) {
	case IPPROTO_TCP:
		return packet->event == TCP_EVENT_SYN;
	case IPPROTO_SCTP:
		return packet->event == SCTP_EVENT_INIT;
	default:
		return 1;
	}
}

/* Nobody can be answered there: no host, this host itself, many, or the very address that is asked (RFC 1122, 3.2.1.3).
 */
static __always_inline int is_possible_client(const struct tuple *tuple)
{
	const struct address *source = &tuple->source;
	__u8 first = bpf_ntohl(source->words[0]) >> 24;

	if (__builtin_memcmp(source, &tuple->destination, sizeof(*source)) == 0)
		return 0;
	if (tuple->family == FAMILY_IPV4)
		return first != 0 && first != 127 && first < 224;
	return first != 0xff &&
	       (source->words[0] | source->words[1] | source->words[2] || bpf_ntohl(source->words[3]) > 1);
}

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
