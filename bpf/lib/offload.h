// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the kernel says of a packet's transport checksum, which struct __sk_buff does not: whether the field is whole,
 * or holds only the pseudo header's sum until a device fills it in (include/linux/skbuff.h: ip_summed). Who knows can
 * write the field without a helper.
 */
#ifndef BPVS_OFFLOAD_H
#define BPVS_OFFLOAD_H

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "config.h"

/* The kernel's CHECKSUM_*. */
enum offload {
	OFFLOAD_NONE,        /* nobody has looked at the field yet */
	OFFLOAD_UNNECESSARY, /* a device has found it right */
	OFFLOAD_COMPLETE,    /* skb->csum is a sum over all of the packet, which changes with it */
	OFFLOAD_PARTIAL,     /* the field is the pseudo header's sum */
	OFFLOAD_UNKNOWN,     /* this kernel does not say */
};

struct sk_buff___checksum {
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *context) __ksym __weak;

static __always_inline enum offload offload_of(struct __sk_buff *skb)
{
	const struct sk_buff___checksum *kernel_skb;

	if (!tells_offload())
		return OFFLOAD_UNKNOWN;
	kernel_skb = bpf_cast_to_kern_ctx(skb);
	return BPF_CORE_READ_BITFIELD(kernel_skb, ip_summed);
}

#endif
