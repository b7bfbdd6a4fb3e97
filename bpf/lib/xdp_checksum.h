// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The transport checksum of a frame in XDP, where no helper knows whether a device still has to complete it. */
#ifndef BPVS_XDP_CHECKSUM_H
#define BPVS_XDP_CHECKSUM_H

#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include "checksum.h"
#include "nat.h"
#include "parse.h"

static __always_inline __sum16 *checksum_field(const struct cursor *cursor, const struct packet *packet)
{
	struct tcphdr *tcp = cursor->at;
	struct udphdr *udp = cursor->at;

	if (packet->tuple.protocol == IPPROTO_TCP)
		return (void *)(tcp + 1) > cursor->end ? NULL : &tcp->check;
	return (void *)(udp + 1) > cursor->end ? NULL : &udp->check;
}

/*
 * Whether the checksum is the sum of the pseudo header alone (RFC 9293, 3.1; RFC 8200, 8.1), as a local sender leaves
 * it for a device to complete: CHECKSUM_PARTIAL, which virtual devices hand on. One in 65536 whole packets looks the
 * same.
 */
static __always_inline int is_pseudo_sum(const struct cursor *cursor, const struct packet *packet)
{
	const __be32 *source = packet->tuple.source.words, *destination = packet->tuple.destination.words;
	const __sum16 *checksum = checksum_field(cursor, packet);
	const struct udphdr *udp = cursor->at;
	int is_tcp = packet->tuple.protocol == IPPROTO_TCP;
	__u64 sum;
	__u32 i;

	if (!checksum || (!is_tcp && !*checksum))
		return 0;
	sum = bpf_htonl(packet->tuple.protocol);
	sum += is_tcp ? bpf_htonl(cursor->payload) : udp->len;
	for (i = 0; i < (packet->tuple.family == FAMILY_IPV4 ? 1 : 4); i++)
		sum += (__u64)source[i] + destination[i];
	return fold_sum(shorten_sum(sum) + (__u16) ~*checksum) == 0xffff;
}

/* Whether a device may have to complete the checksum yet. Of SCTP it is zero until then. */
static __always_inline int may_be_partial(const struct cursor *cursor, const struct packet *packet)
{
	const struct sctp_header *sctp = cursor->at;

	if (packet->tuple.protocol != IPPROTO_SCTP)
		return is_pseudo_sum(cursor, packet);
	return (const void *)(sctp + 1) > cursor->end || !sctp->checksum;
}

/* RFC 1624. A UDP checksum of zero means none and stays zero; one that comes out as zero is sent as 0xffff (RFC 768).
 */
static __always_inline int write_internet_checksum(const struct cursor *cursor, const struct packet *packet,
						   const struct differences *differences)
{
	__sum16 *checksum = checksum_field(cursor, packet);
	int is_udp = packet->tuple.protocol == IPPROTO_UDP;
	__sum16 after;

	if (!checksum)
		return -1;
	if (is_udp && !*checksum)
		return 0;
	after = ~fold_sum((__u16) ~*checksum + differences->addresses + differences->ports);
	*checksum = is_udp && !after ? 0xffff : after;
	return 0;
}

/* Of a packet whose checksum is whole. */
static __always_inline int write_whole_checksum(const struct cursor *cursor, const struct packet *packet,
						const struct differences *differences)
{
	struct sctp_header *sctp = cursor->at;

	if (packet->tuple.protocol != IPPROTO_SCTP)
		return write_internet_checksum(cursor, packet, differences);
	if ((void *)(sctp + 1) > cursor->end)
		return -1;
	sctp->checksum = sctp_checksum_of(sctp, cursor, packet);
	return 0;
}

#endif
