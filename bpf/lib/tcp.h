// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The TCP state table of masquerading, net/netfilter/ipvs/ip_vs_proto_tcp.c. */
#ifndef BPVS_TCP_H
#define BPVS_TCP_H

#include "abi.h"
#include "parse.h"

/* The kernel's short names, for a table that can be compared with its own at a glance. */
enum {
	NO = STATE_NONE,
	ES = STATE_ESTABLISHED,
	SS = STATE_SYN_SENT,
	SR = STATE_SYN_RECV,
	FW = STATE_FIN_WAIT,
	TW = STATE_TIME_WAIT,
	CL = STATE_CLOSE,
	CW = STATE_CLOSE_WAIT,
	LA = STATE_LAST_ACK,
	LI = STATE_LISTEN,
	SA = STATE_SYNACK,
};

/* Powers of two, as Linux 6.1 forgets what was compared of a value that waits on the stack, but not what it was cut to.
 */
enum {
	EVENT_PLACES = 8,
	STATE_PLACES = 16,
};

_Static_assert(TCP_EVENT_COUNT <= EVENT_PLACES && STATE_TCP_COUNT <= STATE_PLACES, "the tables have room for all");

/* Aligned, so that of each direction all events but one are in one cache line. */
/* clang-format off */
static const __u8 tcp_transitions[2][EVENT_PLACES][STATE_PLACES] __attribute__((aligned(64))) = {
	[DIRECTION_REQUEST] = {
		/*                    NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
		[TCP_EVENT_SYN]  = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
		[TCP_EVENT_FIN]  = { CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW },
		[TCP_EVENT_ACK]  = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
		[TCP_EVENT_RST]  = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR },
		[TCP_EVENT_NONE] = { CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL },
	},
	[DIRECTION_REPLY] = {
		[TCP_EVENT_SYN]  = { SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR },
		[TCP_EVENT_FIN]  = { TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },
		[TCP_EVENT_ACK]  = { ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },
		[TCP_EVENT_RST]  = { CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL },
		[TCP_EVENT_NONE] = { CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL },
	},
};

/*
 * With the sysctl secure_tcp, a client alone does not make a connection ESTABLISHED: tcp_states_dos, whose other
 * columns are those of above.
 */
static const __u8 secure_transitions[2][EVENT_PLACES][2] = {
	[DIRECTION_REQUEST] = {
		/*                    SR  SA */
		[TCP_EVENT_SYN]  = { SR, SA },
		[TCP_EVENT_FIN]  = { TW, SA },
		[TCP_EVENT_ACK]  = { SR, SA },
		[TCP_EVENT_RST]  = { SR, CL },
		[TCP_EVENT_NONE] = { CL, CL },
	},
	[DIRECTION_REPLY] = {
		[TCP_EVENT_SYN]  = { SA, SA },
		[TCP_EVENT_FIN]  = { TW, TW },
		[TCP_EVENT_ACK]  = { ES, ES },
		[TCP_EVENT_RST]  = { CL, CL },
		[TCP_EVENT_NONE] = { CL, CL },
	},
};
/* clang-format on */

static __always_inline __u32 tcp_next_state(enum direction direction, __u8 event, __u32 state,
					    const struct settings *settings)
{
	int is_reply = direction != DIRECTION_REQUEST;
	__u8 next;

	if (unlikely((state == STATE_SYN_RECV || state == STATE_SYNACK) && settings->secure_tcp))
		next = secure_transitions[is_reply][event & (EVENT_PLACES - 1)][state == STATE_SYNACK];
	else
		next = tcp_transitions[is_reply][event & (EVENT_PLACES - 1)][state & (STATE_PLACES - 1)];
	return next ? next : STATE_CLOSE; /* nothing is where the tables have no line or column */
}

/* What ipvsadm counts in ActiveConn. */
static __always_inline int is_active(__u32 state)
{
	return state == STATE_ESTABLISHED || state == STATE_SYN_SENT || state == STATE_SYN_RECV ||
	       state == STATE_SYNACK || state == STATE_SCTP_ESTABLISHED;
}

#endif
