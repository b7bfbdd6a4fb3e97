// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ICMP of both families, as far as BPVS knows it. */
#ifndef BPVS_ICMP_H
#define BPVS_ICMP_H

#include <linux/in.h>
#include <linux/in6.h>
#include "abi.h"

/* RFC 792, RFC 4443 */
enum icmp_code {
	ICMP_PORT_UNREACHABLE = 3,
	ICMP_FRAGMENTATION_NEEDED = 4,
	ICMPV6_PORT_UNREACHABLE = 4,
};

enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_DESTINATION_UNREACHABLE = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
	ICMPV6_DESTINATION_UNREACHABLE = 1,
	ICMPV6_PACKET_TOO_BIG = 2,
	ICMPV6_TIME_EXCEEDED = 3,
	ICMPV6_INFORMATIONAL = 128, /* the first that is no error */
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
};

/* Of both families alike; the kernel's headers for it cannot be had without the C library's. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 rest;
};

static __always_inline int is_icmp(__u8 protocol, enum family family)
{
	return protocol == (family == FAMILY_IPV4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* Redirects are none: they are about a way that the receiver does not go. */
static __always_inline int is_icmp_error(__u8 type, enum family family)
{
	if (family == FAMILY_IPV6)
		return type < ICMPV6_INFORMATIONAL;
	return type == ICMP_DESTINATION_UNREACHABLE || type == ICMP_SOURCE_QUENCH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETER_PROBLEM;
}

#endif
