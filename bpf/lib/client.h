// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which packets may come from a client that begins something. */
#ifndef BPVS_CLIENT_H
#define BPVS_CLIENT_H

#include <bpf/bpf_endian.h>
#include "address.h"
#include "parse.h"

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

	if (is_same_address(source, &tuple->destination))
		return 0;
	if (tuple->family == FAMILY_IPV4)
		return first != 0 && first != 127 && first < 224;
	return first != 0xff &&
	       (source->words[0] | source->words[1] | source->words[2] || bpf_ntohl(source->words[3]) > 1);
}

#endif
