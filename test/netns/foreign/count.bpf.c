// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Somebody else's programs at a device: they count packets, and leave them to whoever comes next. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

static __always_inline int count(__u32 direction)
{
	__u64 *counter = bpf_map_lookup_elem(&packets, &direction);

	if (counter)
		__sync_fetch_and_add(counter, 1);
	return -1; /* TC_ACT_UNSPEC, TCX_NEXT */
}

SEC("tc")
int count_ingress(struct __sk_buff *packet)
{
	return count(0);
}

SEC("tc")
int count_egress(struct __sk_buff *packet)
{
	return count(1);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
