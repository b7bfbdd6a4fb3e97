// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Someone else's XDP program: it lets every frame pass. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int foreign(struct xdp_md *frame)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
