// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One of everything that the addon handles: maps, an immediate, layouts, and programs of each type.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

enum color { COLOR_RED, COLOR_GREEN = 5, COLOR_BLUE };
enum level { LEVEL_LOW = -3, LEVEL_HIGH = 3 };

struct point {
	__u16 x;
	__s16 y;
};

struct place {
	__u8 family;
	__u8 padding[3];
	enum color color;
	union {
		__be32 v4;
		__u8 v6[16];
	};
	struct point points[2];
	struct {
		__u64 first;
		__s64 second;
	} times;
	_Bool is_open;
	__u32 scores[3];
};

struct request {
	__u32 number;
	__u32 answer;
};

enum level level = LEVEL_HIGH;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct point);
	__type(value, struct place);
} places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100000);
	__type(key, __u32);
	__type(value, __u32);
} squares SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__uint(value_size, 12);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 3);
	__type(value, __u32);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

/* 2, unless another number is put in the place of this one. */
static __u64 factor(void)
{
	__u64 value;

	asm("%0 = 0x6661637400000000 ll" : "=r"(value));
	return value >> 32 == 0x66616374 ? 2 : (value >> 32) - (__u32)value;
}

SEC("tc")
int grow(struct __sk_buff *packet)
{
	__u32 key = 0, *counter = bpf_map_lookup_elem(&counters, &key);

	if (counter)
		*counter += 1;
	packet->mark = packet->mark * factor();
	bpf_skb_change_tail(packet, packet->len + 4, 0);
	return 7;
}

SEC("tc")
int pass(struct __sk_buff *packet)
{
	return -1;
}

SEC("xdp")
int drop(struct xdp_md *packet)
{
	return XDP_DROP;
}

SEC("cgroup/connect4")
int allow(struct bpf_sock_addr *address)
{
	return 1;
}

SEC("syscall")
int answer(struct request *request)
{
	request->answer = request->number * factor();
	return level;
}

SEC("?tc")
int refused(struct __sk_buff *packet)
{
	return *(volatile int *)(long)packet->mark;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
