// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What packets are compared with: what it costs to translate an IPv4 TCP packet with one lookup and the kernel's
 * helpers for its checksum, which is right with offloads on or off. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/abi.h"
#include "lib/parse.h"

#define TRANSPORT (ETH_HLEN + sizeof(struct iphdr))

struct translation {
	__be32 address;
	__be16 port;
	__u16 padding;
	__u32 address_difference;
	__u32 port_difference;
};

struct flow_key4 {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 padding[3];
};

/* Room for both directions of every connection, as the data plane has. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow_key4);
	__type(value, struct translation);
} translations SEC(".maps");

/* RFC 1624 */
static __always_inline __sum16 adjust_checksum(__sum16 checksum, __u32 difference)
{
	__u64 sum = (__u64)(__u16)~checksum + difference;

	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int read_key(struct __sk_buff *skb, struct flow_key4 *key)
{
	void *start = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = start + ETH_HLEN;
	struct tcphdr *tcp = (void *)(ip + 1);

	if (skb->protocol != bpf_htons(ETH_P_IP) || (void *)(tcp + 1) > end || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_TCP || ip->frag_off & bpf_htons(IPV4_FRAGMENT_MASK))
		return -1;
	*key = (struct flow_key4){
		.source = ip->saddr,
		.destination = ip->daddr,
		.source_port = tcp->source,
		.destination_port = tcp->dest,
		.protocol = ip->protocol,
	};
	return 0;
}

SEC("tc")
int dnat(struct __sk_buff *skb)
{
	void *start, *end;
	struct translation *to;
	struct flow_key4 key;
	struct iphdr *ip;
	struct tcphdr *tcp;

	if (read_key(skb, &key))
		return TC_ACT_UNSPEC;
	to = bpf_map_lookup_elem(&translations, &key);
	if (!to)
		return TC_ACT_UNSPEC;
	start = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	ip = start + ETH_HLEN;
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > end)
		return TC_ACT_SHOT;
	ip->daddr = to->address;
	ip->check = adjust_checksum(ip->check, to->address_difference);
	tcp->dest = to->port;
	if (bpf_l4_csum_replace(skb, TRANSPORT + __builtin_offsetof(struct tcphdr, check), 0, to->address_difference,
				BPF_F_PSEUDO_HDR) ||
	    bpf_l4_csum_replace(skb, TRANSPORT + __builtin_offsetof(struct tcphdr, check), 0, to->port_difference, 0))
		return TC_ACT_SHOT;
	return TC_ACT_UNSPEC;
}

/* Makes an entry for the packet, which `dnat` will translate from now on. */
SEC("tc")
int learn(struct __sk_buff *skb)
{
	struct translation to = { .address = bpf_htonl(0x0a400001), .port = bpf_htons(8080) };
	struct flow_key4 key;

	if (read_key(skb, &key))
		return TC_ACT_SHOT;
	to.address_difference = bpf_csum_diff(&key.destination, 4, &to.address, 4, 0);
	to.port_difference = (__u32)(__u16)~key.destination_port + to.port;
	return bpf_map_update_elem(&translations, &key, &to, BPF_ANY) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
