// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The index of the connection table: from a packet's tuple to its connection. */
#ifndef BPVS_FLOW_H
#define BPVS_FLOW_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "parse.h"

static __always_inline void flow_key4_of(struct flow_key4 *key, const struct tuple *tuple)
{
	*key = (struct flow_key4){
		.source = tuple->source.words[0],
		.destination = tuple->destination.words[0],
		.source_port = tuple->source_port,
		.destination_port = tuple->destination_port,
		.protocol = tuple->protocol,
		.hook = tuple->hook,
	};
}

static __always_inline void flow_key6_of(struct flow_key6 *key, const struct tuple *tuple)
{
	*key = (struct flow_key6){
		.source = tuple->source,
		.destination = tuple->destination,
		.source_port = tuple->source_port,
		.destination_port = tuple->destination_port,
		.protocol = tuple->protocol,
		.hook = tuple->hook,
	};
}

static __always_inline struct flow *find_flow(const struct tuple *tuple)
{
	if (tuple->family == FAMILY_IPV4) {
		struct flow_key4 key;

		flow_key4_of(&key, tuple);
		return bpf_map_lookup_elem(&flows4, &key);
	} else {
		struct flow_key6 key;

		flow_key6_of(&key, tuple);
		return bpf_map_lookup_elem(&flows6, &key);
	}
}

static __always_inline long insert_flow(const struct tuple *tuple, const struct flow *flow)
{
	if (tuple->family == FAMILY_IPV4) {
		struct flow_key4 key;

		flow_key4_of(&key, tuple);
		return bpf_map_update_elem(&flows4, &key, flow, BPF_NOEXIST);
	} else {
		struct flow_key6 key;

		flow_key6_of(&key, tuple);
		return bpf_map_update_elem(&flows6, &key, flow, BPF_NOEXIST);
	}
}

static __always_inline void delete_flow(const struct tuple *tuple)
{
	if (tuple->family == FAMILY_IPV4) {
		struct flow_key4 key;

		flow_key4_of(&key, tuple);
		bpf_map_delete_elem(&flows4, &key);
	} else {
		struct flow_key6 key;

		flow_key6_of(&key, tuple);
		bpf_map_delete_elem(&flows6, &key);
	}
}

#endif
