// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* SCTP: its headers, and the state table of masquerading (net/netfilter/ipvs/ip_vs_proto_sctp.c). */
#ifndef BPVS_SCTP_H
#define BPVS_SCTP_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

/* RFC 9260, 3.1 and 3.2; the kernel's headers for it cannot be had without its own types. */
struct sctp_header {
	__be16 source;
	__be16 dest;
	__be32 verification_tag;
	__u32 checksum; /* CRC-32C of the packet with zero here, in little-endian order */
};

struct sctp_chunk {
	__u8 type;
	__u8 flags;
	__be16 length; /* with these 4 bytes, without what pads the chunk to 4 */
};

#define SCTP_CHUNK_ALIGNMENT 4

/* What the kernel's table tells apart; every chunk type that is not listed below is data to it. */
enum sctp_event {
	SCTP_EVENT_DATA,
	SCTP_EVENT_INIT,
	SCTP_EVENT_INIT_ACK,
	SCTP_EVENT_COOKIE_ECHO,
	SCTP_EVENT_COOKIE_ACK,
	SCTP_EVENT_SHUTDOWN,
	SCTP_EVENT_SHUTDOWN_ACK,
	SCTP_EVENT_SHUTDOWN_COMPLETE,
	SCTP_EVENT_ERROR,
	SCTP_EVENT_ABORT,
	SCTP_EVENT_COUNT,
};

/* RFC 9260, 3.2 */
static __always_inline __u8 sctp_event_of(__u8 chunk_type)
{
	switch (chunk_type) {
	case 1:
		return SCTP_EVENT_INIT;
	case 2:
		return SCTP_EVENT_INIT_ACK;
	case 6:
		return SCTP_EVENT_ABORT;
	case 7:
		return SCTP_EVENT_SHUTDOWN;
	case 8:
		return SCTP_EVENT_SHUTDOWN_ACK;
	case 9:
		return SCTP_EVENT_ERROR;
	case 10:
		return SCTP_EVENT_COOKIE_ECHO;
	case 11:
		return SCTP_EVENT_COOKIE_ACK;
	case 14:
		return SCTP_EVENT_SHUTDOWN_COMPLETE;
	default:
		return SCTP_EVENT_DATA;
	}
}

/* The kernel's short names, for a table that can be compared with its own at a glance; they count from STATE_SCTP_NONE.
 */
enum {
	sNO,
	sI1,
	sIN,
	sCS,
	sCR,
	sCW,
	sCO,
	sCE,
	sES,
	sSS,
	sSR,
	sSA,
	sRJ,
	sCL,
	SCTP_STATES,
};

_Static_assert(STATE_SCTP_NONE + sCL == STATE_SCTP_CLOSED, "the short names are in the order of the states");

/* clang-format off */
static const __u8 sctp_transitions[2][SCTP_EVENT_COUNT][SCTP_STATES] = {
	[DIRECTION_REQUEST] = {
		/*                                   NO   I1   IN   CS   CR   CW   CO   CE   ES   SS   SR   SA   RJ   CL */
		[SCTP_EVENT_DATA]              = { sES, sI1, sIN, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_INIT]              = { sI1, sIN, sIN, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sIN, sIN },
		[SCTP_EVENT_INIT_ACK]          = { sCW, sCW, sCW, sCS, sCR, sCO, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_COOKIE_ECHO]       = { sCR, sIN, sIN, sCR, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_COOKIE_ACK]        = { sES, sI1, sIN, sCS, sCR, sCW, sCO, sES, sES, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_SHUTDOWN]          = { sSR, sI1, sIN, sCS, sCR, sCW, sCO, sCE, sSR, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_SHUTDOWN_ACK]      = { sCL, sIN, sIN, sCS, sCR, sCW, sCO, sCE, sES, sCL, sSR, sCL, sRJ, sCL },
		[SCTP_EVENT_SHUTDOWN_COMPLETE] = { sCL, sCL, sCL, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sCL, sRJ, sCL },
		[SCTP_EVENT_ERROR]             = { sCL, sI1, sIN, sCS, sCR, sCW, sCO, sCL, sES, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_ABORT]             = { sCL, sCL, sCL, sCL, sCL, sRJ, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL },
	},
	[DIRECTION_REPLY] = {
		[SCTP_EVENT_DATA]              = { sES, sI1, sIN, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_INIT]              = { sCW, sCW, sCW, sCW, sCW, sCW, sCW, sCW, sES, sCW, sCW, sCW, sCW, sCW },
		[SCTP_EVENT_INIT_ACK]          = { sCS, sCS, sCS, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_COOKIE_ECHO]       = { sCE, sCE, sCE, sCE, sCE, sCE, sCE, sCE, sES, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_COOKIE_ACK]        = { sES, sES, sES, sES, sES, sES, sES, sES, sES, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_SHUTDOWN]          = { sSS, sSS, sSS, sSS, sSS, sSS, sSS, sSS, sSS, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_SHUTDOWN_ACK]      = { sSA, sSA, sSA, sSA, sSA, sCW, sCO, sCE, sES, sSA, sSA, sSA, sRJ, sCL },
		[SCTP_EVENT_SHUTDOWN_COMPLETE] = { sCL, sI1, sIN, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_ERROR]             = { sCL, sCL, sCL, sCL, sCL, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL },
		[SCTP_EVENT_ABORT]             = { sCL, sRJ, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL },
	},
};
/* clang-format on */

static __always_inline __u32 sctp_next_state(enum direction direction, __u8 event, __u32 state)
{
	__u64 row = event, column = state - STATE_SCTP_NONE;

	barrier_var(row); /* Linux 6.1 knows a bound only of the register that was compared */
	barrier_var(column);
	if (row >= SCTP_EVENT_COUNT || column >= SCTP_STATES)
		return STATE_SCTP_CLOSED;
	return STATE_SCTP_NONE + sctp_transitions[direction != DIRECTION_REQUEST][row][column];
}

#endif
