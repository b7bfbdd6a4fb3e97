// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Somebody else's classifier: it gives every packet a firewall mark, and leaves it to whoever comes next. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int mark_all(struct __sk_buff *packet)
{
	packet->mark = 7;
	return -1; /* TC_ACT_UNSPEC */
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
