// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Calls crc32c_difference for a test: the frame's bytes 14 to 21 are its arguments, little-endian. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "lib/crc32c.h"

SEC("tc")
int call_crc32c_difference(struct __sk_buff *skb)
{
	__u32 arguments[2];

	if (bpf_skb_load_bytes(skb, ETH_HLEN, arguments, sizeof(arguments)))
		return 0;
	return crc32c_difference(arguments[0], arguments[1]);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
