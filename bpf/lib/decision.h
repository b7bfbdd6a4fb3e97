// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where a new connection goes. */
#ifndef BPVS_DECISION_H
#define BPVS_DECISION_H

#include <linux/types.h>
#include "abi.h"

/* Beyond every reason: the datagram is scheduled by itself, see lib/one_packet.h. */
#define BEGINS_ONE_PACKET (REASON_COUNT + 1)

struct decision {
	__u32 destination; /* index into destinations */
	__u32 template;    /* index plus one of the template that led there and is held for the connection, or 0 */
	__be16 port;       /* at the destination */
	__u16 padding;
};

#endif
