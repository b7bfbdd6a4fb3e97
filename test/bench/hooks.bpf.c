// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the bench itself hooks into ways that are measured. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define UNANSWERED 'u' /* as in traffic.c */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} datagrams SEC(".maps");

/* What hooks cost by themselves. */
SEC("tc")
int empty(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

/* The end of a way without sockets, at the server's own device: counts datagrams,
 * and takes off those that want no answer. */
SEC("tc")
int end(struct __sk_buff *skb)
{
	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;
	__u32 zero = 0;
	__u64 *count;
	char message;

	if (skb->protocol != bpf_htons(ETH_P_IP) || (void *)(ip + 1) > (void *)(long)skb->data_end ||
	    ip->protocol != IPPROTO_UDP ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(*ip) + sizeof(struct udphdr), &message, sizeof(message)))
		return TC_ACT_UNSPEC;
	count = bpf_map_lookup_elem(&datagrams, &zero);
	if (count)
		*count += 1; /* all traffic is on one CPU */
	return message == UNANSWERED ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
