// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Fresh packets for BPF_PROG_TEST_RUN, which else runs a program over its own
 * output: `fresh`, of XDP `fresh_xdp`, writes the next one and goes on to the
 * program that is measured. */
#include "lib/abi.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>

/* The numbers of IPv4; IPv6 has them in the last word, behind the prefix of who
 * it is. */
#define CLIENT 0x0a800000 /* 10.128.0.0 */
#define CLIENT_PREFIX 0xfd000080
#define DESTINATION_PREFIX 0xfd000040
#define VIRTUAL_PREFIX 0xfd000060
#define DESTINATION_PORT 8080
#define CLIENTS 1024
#define FIRST_PORT 1024
#define PORTS (65536 - FIRST_PORT)
#define PORT_FACTOR 40507 /* without a common divisor with PORTS: no two flows get one port */
#define HOP_LIMIT 64      /* as the packet had it that the sums are of */

/* What packets to make. User space writes it before each run. */
struct traffic {
	__u32 sent;
	__u32 first_flow;
	__u32 flows;
	__u32 services;
	__u32 virtual_base; /* of the services' addresses, one after the other */
	__u32 destination_base;
	__u32 header_sum;    /* of the IPv4 header, addresses zero */
	__u32 transport_sum; /* of what the transport checksum covers, addresses and
				ports zero */
	__u8 direction;
	__u8 is_shuffled;         /* flows by chance, not one after the other */
	__u8 has_scattered_ports; /* a client's are all over the range, not in a row */
	__u8 padding;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct traffic);
} traffic SEC(".maps");

/* Place 0: the program that is measured. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured SEC(".maps");

/* The same for XDP: a tail call stays within one type of programs, and one kind
 * of frames. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured_xdp SEC(".maps");

/* One packet's numbers: its sides as the last words of their addresses. */
struct ends {
	__be32 source;
	__be32 destination;
	__be32 source_prefix;
	__be32 destination_prefix;
	__be32 ports; /* source, then destination */
};

static __always_inline __u32 next_flow(struct traffic *state)
{
	__u32 number = state->sent++;

	if (state->is_shuffled) {
		number *= 0x9e3779b1;
		number ^= number >> 16;
		number *= 0x85ebca6b;
		number ^= number >> 13;
		number = (__u64)number * state->flows >> 32;
	}
	return state->first_flow + number;
}

/* Which of a service's two destinations sh gives a client (ip_vs_sh.c): the
 * newer one has the even of 256 places. */
static __always_inline __u32 chosen(__u32 folded_client)
{
	return ~(folded_client * 0x61C88647U >> 24) & 1;
}

static __always_inline void make_ends(struct ends *ends, struct traffic *state, __u32 client_prefix,
				      __u32 destination_prefix, __u32 virtual_prefix)
{
	__u32 flow = next_flow(state);
	__u32 service = (__u64)(flow * 0x9e3779b1) * state->services >> 32;
	__u32 client = CLIENT + flow % CLIENTS;
	__u32 place = flow / CLIENTS;
	__u32 port = FIRST_PORT + (state->has_scattered_ports ? place * PORT_FACTOR % PORTS : place);
	__u32 destination = state->destination_base + 2 * service + chosen(client_prefix ^ client);

	if (state->direction == DIRECTION_REQUEST) {
		ends->source = bpf_htonl(client);
		ends->source_prefix = bpf_htonl(client_prefix);
		ends->destination = bpf_htonl(state->virtual_base + service);
		ends->destination_prefix = bpf_htonl(virtual_prefix);
		ends->ports = bpf_htonl(port << 16 | 80);
	} else {
		ends->source = bpf_htonl(destination);
		ends->source_prefix = bpf_htonl(destination_prefix);
		ends->destination = bpf_htonl(client);
		ends->destination_prefix = bpf_htonl(client_prefix);
		ends->ports = bpf_htonl(DESTINATION_PORT << 16 | port);
	}
}

static __always_inline __sum16 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* @return 0, or -1 where the packet is shorter than it should be */
static __always_inline int write_transport(void *transport, void *end, __u8 protocol, __be32 ports, __u64 sum)
{
	struct tcphdr *tcp = transport;
	struct udphdr *udp = transport;

	if ((void *)(udp + 1) > end)
		return -1;
	*(__be32 *)transport = ports;
	if (protocol == IPPROTO_UDP) {
		udp->check = fold(sum + ports);
		return 0;
	}
	if ((void *)(tcp + 1) > end)
		return -1;
	tcp->check = fold(sum + ports);
	return 0;
}

static __always_inline int write4(struct traffic *state, void *start, void *end)
{
	struct iphdr *ip = start + ETH_HLEN;
	struct ends ends;
	__u64 sum;

	if ((void *)(ip + 1) > end)
		return -1;
	make_ends(&ends, state, 0, 0, 0);
	ip->ttl = HOP_LIMIT;
	ip->saddr = ends.source;
	ip->daddr = ends.destination;
	sum = (__u64)ends.source + ends.destination;
	ip->check = fold(sum + state->header_sum);
	return write_transport(ip + 1, end, ip->protocol, ends.ports, sum + state->transport_sum);
}

static __always_inline void write_address6(void *address, __be32 prefix, __be32 number)
{
	((__u64 *)address)[0] = prefix;
	((__u64 *)address)[1] = (__u64)number << 32;
}

static __always_inline int write6(struct traffic *state, void *start, void *end)
{
	struct ipv6hdr *ip = start + ETH_HLEN;
	struct ends ends;
	__u64 sum;

	if ((void *)(ip + 1) > end)
		return -1;
	make_ends(&ends, state, CLIENT_PREFIX, DESTINATION_PREFIX, VIRTUAL_PREFIX);
	ip->hop_limit = HOP_LIMIT;
	write_address6(&ip->saddr, ends.source_prefix, ends.source);
	write_address6(&ip->daddr, ends.destination_prefix, ends.destination);
	sum = (__u64)ends.source + ends.destination + ends.source_prefix + ends.destination_prefix;
	return write_transport(ip + 1, end, ip->nexthdr, ends.ports, sum + state->transport_sum);
}

static __always_inline int write_packet(void *start, void *end, __be16 type)
{
	__u32 zero = 0;
	struct traffic *state = bpf_map_lookup_elem(&traffic, &zero);

	if (!state)
		return -1;
	return type == bpf_htons(ETH_P_IP) ? write4(state, start, end) : write6(state, start, end);
}

SEC("tc")
int fresh(struct __sk_buff *skb)
{
	if (write_packet((void *)(long)skb->data, (void *)(long)skb->data_end, skb->protocol))
		return TC_ACT_SHOT;
	bpf_tail_call_static(skb, &measured, 0);
	return TC_ACT_SHOT;
}

SEC("xdp.frags")
int fresh_xdp(struct xdp_md *frame)
{
	void *start = (void *)(long)frame->data, *end = (void *)(long)frame->data_end;
	struct ethhdr *ethernet = start;

	if ((void *)(ethernet + 1) > end || write_packet(start, end, ethernet->h_proto))
		return XDP_DROP;
	bpf_tail_call_static(frame, &measured_xdp, 0);
	return XDP_DROP;
}

/* What making a packet and going on costs by itself. */
SEC("tc")
int nothing(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

SEC("xdp.frags")
int nothing_xdp(struct xdp_md *frame)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
