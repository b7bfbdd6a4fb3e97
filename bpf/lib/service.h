// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a client's first packet to the virtual service that it is for. */
#ifndef BPVS_SERVICE_H
#define BPVS_SERVICE_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "client.h"
#include "maps.h"
#include "parse.h"

/* The kernel guards FTP's data connections: this source port is never scheduled (ip_vs_core.c: ip_vs_schedule). */
#define FTP_DATA_PORT 20
#define FTP_PORT 21
#define FIRST_UNPRIVILEGED_PORT 1024

static __always_inline struct service *service_at(const struct tuple *tuple, __be16 port)
{
	struct service_key key = {
		.address = tuple->destination,
		.port = port,
		.protocol = tuple->protocol,
		.family = tuple->family,
	};

	return bpf_map_lookup_elem(&services, &key);
}

/* A mark takes the place of the address, with a protocol that no packet has. */
static __always_inline struct service *service_of_mark(__u32 mark, __u8 family)
{
	struct service_key key = { .address.words[0] = bpf_htonl(mark), .family = family };

	return bpf_map_lookup_elem(&services, &key);
}

/* A client of passive FTP opens its data connections to whatever port the server named. */
static __always_inline int may_be_ftp_data(const struct tuple *tuple)
{
	return tuple->protocol == IPPROTO_TCP && (tuple->destination_port == bpf_htons(FTP_DATA_PORT) ||
						  bpf_ntohs(tuple->destination_port) >= FIRST_UNPRIVILEGED_PORT);
}

/*
 * ip_vs_ctl.c: ip_vs_service_find. Services that are not found by their address and port are asked for only where there
 * are any: an ordinary cluster has none. A function of its own for the sake of the stack.
 */
static __noinline struct service *find_service(const struct packet *packet, __u32 kinds)
{
	const struct tuple *tuple = &packet->tuple;
	struct service *service = NULL;

	if (packet->mark && kinds & SERVICES_OF_MARKS)
		service = service_of_mark(packet->mark, tuple->family);
	if (!service)
		service = service_at(tuple, tuple->destination_port);
	if (!service && kinds & SERVICES_OF_FTP && may_be_ftp_data(tuple))
		service = service_at(tuple, bpf_htons(FTP_PORT));
	if (!service && kinds & SERVICES_OF_ALL_PORTS)
		service = service_at(tuple, 0);
	return service;
}

/* sloppy_tcp and sloppy_sctp: what is in its middle may open a connection, too, so that a second director can go on. */
static __always_inline int may_open_sloppily(const struct packet *packet, const struct settings *settings)
{
	if (packet->tuple.protocol == IPPROTO_TCP)
		return settings->sloppy_tcp && packet->event != TCP_EVENT_RST;
	return settings->sloppy_sctp && packet->event != SCTP_EVENT_ABORT;
}

/* @return REASON_TRANSLATED and the service that a new connection is for, or why there is none */
static __always_inline enum reason service_of(const struct packet *packet, struct service **service)
{
	__u32 zero = 0;
	const struct settings *settings_entry = bpf_map_lookup_elem(&settings, &zero);

	if (!settings_entry || !(may_open(packet) || may_open_sloppily(packet, settings_entry)))
		return REASON_PASSED_NOT_OURS;
	*service = find_service(packet, settings_entry->service_kinds);
	if (!*service)
		return REASON_PASSED_NOT_OURS;
	return packet->tuple.source_port == bpf_htons(FTP_DATA_PORT) ? REASON_PASSED_FTP_DATA : REASON_TRANSLATED;
}

static __always_inline int is_persistent(const struct service *service)
{
	return service->persistence_seconds > 0;
}

static __always_inline int is_one_packet(const struct service *service, const struct packet *packet)
{
	return service->flags & SERVICE_ONE_PACKET && packet->tuple.protocol == IPPROTO_UDP;
}

/* A packet to another port than the service's own is only for a service of a mark, or for a persistent one. */
static __always_inline int is_served(const struct service *service, const struct packet *packet)
{
	return is_persistent(service) || service->flags & SERVICE_OF_MARK ||
	       packet->tuple.destination_port == service->port;
}

/* ip_vs_core.c: ip_vs_leave. What is not of FTP's own port may be anyone's. */
static __always_inline enum reason reason_without_destination(const struct service *service,
							      const struct packet *packet)
{
	if (service->port == bpf_htons(FTP_PORT) && packet->tuple.destination_port != service->port)
		return REASON_PASSED_NOT_OURS;
	return service->no_destination == NO_DESTINATION_DROP ? REASON_DROPPED_NO_DESTINATION
							      : REASON_REJECTED_NO_DESTINATION;
}

/* Where at its destination a new connection goes to: services of all ports, or of a mark, keep the packet's port. */
static __always_inline __be16 port_at(const struct service *service, const struct packet *packet,
				      const struct destination *destination)
{
	__be16 asked = packet->tuple.destination_port;

	if (!destination->port || (is_persistent(service) && asked != service->port))
		return asked;
	return destination->port;
}

#endif
