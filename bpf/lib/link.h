// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What packets begin with. The programs of devices are built twice: as they are for Ethernet, and with
 * LINK_HEADER_LENGTH 0 for devices whose packets begin with IP (tun, WireGuard, IPIP), over the same maps but for that
 * of their tail calls.
 */
#ifndef BPVS_LINK_H
#define BPVS_LINK_H

#include <linux/if_ether.h>

#ifndef LINK_HEADER_LENGTH
#define LINK_HEADER_LENGTH ETH_HLEN
#endif

#if LINK_HEADER_LENGTH
#define HANDLERS handlers
#else
#define HANDLERS linkless_handlers
#endif

#endif
