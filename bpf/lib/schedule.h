// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a service, by its scheduler, to a destination. */
#ifndef BPVS_SCHEDULE_H
#define BPVS_SCHEDULE_H

#include "conn.h"
#include "sched/dh.h"
#include "sched/fo.h"
#include "sched/lblc.h"
#include "sched/lblcr.h"
#include "sched/lc.h"
#include "sched/mh.h"
#include "sched/nq.h"
#include "sched/ovf.h"
#include "sched/rr.h"
#include "sched/sed.h"
#include "sched/sh.h"
#include "sched/twos.h"
#include "sched/wlc.h"
#include "sched/wrr.h"

/* Not static, so that the verifier checks it once. */
__noinline __u32 schedule_by_table(const struct service *service, const struct packet *packet, struct choice *choice)
{
	if (!service || !packet || !choice)
		return NO_CHOICE;
	switch (service->scheduler) {
	case SCHEDULER_RR:
		return schedule_rr(service, packet, choice);
	case SCHEDULER_WRR:
		return schedule_wrr(service, packet, choice);
	case SCHEDULER_LC:
		return schedule_lc(service, packet, choice);
	case SCHEDULER_WLC:
		return schedule_wlc(service, packet, choice);
	case SCHEDULER_SH:
		return schedule_sh(service, packet, choice);
	case SCHEDULER_DH:
		return schedule_dh(service, packet, choice);
	case SCHEDULER_SED:
		return schedule_sed(service, packet, choice);
	case SCHEDULER_NQ:
		return schedule_nq(service, packet, choice);
	case SCHEDULER_MH:
		return schedule_mh(service, packet, choice);
	case SCHEDULER_FO:
		return schedule_fo(service, packet, choice);
	case SCHEDULER_OVF:
		return schedule_ovf(service, packet, choice);
	case SCHEDULER_TWOS:
		return schedule_twos(service, packet, choice);
	default:
		return NO_CHOICE;
	}
}

/* lblc and lblcr are not reached through the others: their stacks would add up. @return an index into destinations, or
 * NO_CHOICE */
static __always_inline __u32 schedule(const struct service *service, const struct packet *packet, struct choice *choice)
{
	switch (service->scheduler) {
	case SCHEDULER_LBLC:
		return schedule_lblc(service, packet, choice);
	case SCHEDULER_LBLCR:
		return schedule_lblcr(service, packet, choice);
	default:
		return schedule_by_table(service, packet, choice);
	}
}

#endif
