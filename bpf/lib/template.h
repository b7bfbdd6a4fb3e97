// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Persistence: a client's later connections go where its first one went (ip_vs_core.c: ip_vs_sched_persist). What
 * remembers that is a template: an entry of `connections` with a client's address, or the part of it that the service
 * tells clients apart by, and a destination, but without a client's port. Only packets that open a connection ask for
 * it. A template outlives the connections that were opened by it, see lib/hold.h.
 */
#ifndef BPVS_TEMPLATE_H
#define BPVS_TEMPLATE_H

#include "conn.h"
#include "decision.h"
#include "flow.h"
#include "hold.h"
#include "service.h"

/* Of a template that was invalid when a client came: no client is led by it any more (ip_vs_check_template). */
#define HIDDEN_PORT 0xffff

/* The first `length` bits of an address. */
static __always_inline void mask_address(struct address *address, __u32 length)
{
	int i;

#pragma clang loop unroll(full)
	for (i = 0; i < 4; i++) {
		__u32 bits = length < 32 ? length : 32;

		address->words[i] &= bits ? bpf_htonl(0xffffffffU << (32 - bits)) : 0;
		length -= bits;
	}
}

/* One template for all ports of a client where its service is of all ports, of FTP, or of a mark. */
static __always_inline int has_own_port(const struct service *service, const struct packet *packet)
{
	return packet->tuple.destination_port == service->port && service->port != bpf_htons(FTP_PORT);
}

static __always_inline void template_tuple(struct tuple *tuple, const struct service *service,
					   const struct packet *packet)
{
	*tuple = packet->tuple;
	tuple->hook = HOOK_INGRESS;
	tuple->source_port = 0;
	mask_address(&tuple->source, service->persistence_length);
	if (!has_own_port(service, packet))
		tuple->destination_port = 0;
	if (service->flags & SERVICE_OF_MARK) {
		tuple->protocol = IPPROTO_IP;
		tuple->destination = (struct address){ .words = { bpf_htonl(packet->mark) } };
	}
	tuple->protocol |= TEMPLATE_PROTOCOL;
}

/* Views are ours, not the kernel's: a destination may have moved to the other one since the client was led to it. */
static __always_inline int is_in_view(const struct destination *destination, const struct service *service,
				      const struct packet *packet)
{
	if (!(service->flags & SERVICE_HAS_OUTSIDE))
		return 1;
	return !(destination->flags & (packet->is_outside ? DESTINATION_INSIDE : DESTINATION_OUTSIDE));
}

/* Whether the client may still be led where the template leads. */
static __always_inline int leads_somewhere(const struct connection *template, const struct service *service,
					   const struct packet *packet)
{
	__u32 zero = 0, destination_index = template->destination_index;
	const struct settings *settings_entry = bpf_map_lookup_elem(&settings, &zero);
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &destination_index);

	if (!settings_entry || !destination || !(destination->flags & DESTINATION_AVAILABLE))
		return 0;
	if (!is_in_view(destination, service, packet))
		return 0;
	return destination->weight > 0 || !settings_entry->expire_quiescent_template;
}

/* @return whether the template that the flow leads to is held now */
static __always_inline int hold_template(const struct connection *template, struct cold_connection *cold,
					 const struct flow *flow)
{
	if (!hold(cold))
		return 0;
	if (is_of_generation(template, flow))
		return 1;
	let_go(cold);
	return 0;
}

/*
 * It stays for the connections that hold it, and until its time has come. Whoever calls this holds it: a template that
 * ended here and now would leave its entry to another connection, which would get these ports.
 */
static __always_inline void hide_template(struct connection *template, const struct tuple *tuple,
					  const struct flow *flow)
{
	if (!delete_flow(tuple, flow))
		return;
	template->virtual_port = HIDDEN_PORT;
	template->destination_port = HIDDEN_PORT;
}

/*
 * Takes the destination of the client's template, and holds that for a connection. A function of its own for the sake
 * of the stack, as is the next.
 * @param is_trial only look
 * @return whether there is such a template
 */
static __noinline int follow_template(const struct service *service, const struct packet *packet,
				      struct decision *decision, int is_trial)
{
	struct cold_connection *cold;
	struct connection *template;
	struct flow flow = {};
	struct tuple tuple;
	__u32 index;

	template_tuple(&tuple, service, packet);
	if (!search_flow(&tuple, hash_tuple(&tuple), 0, &flow))
		return 0;
	index = flow.connection;
	template = bpf_map_lookup_elem(&connections, &index);
	cold = bpf_map_lookup_elem(&cold_connections, &index);
	if (!template || !cold)
		return 0;
	if (is_trial) {
		decision->destination = template->destination_index;
		return leads_somewhere(template, service, packet);
	}
	if (!hold_template(template, cold, &flow))
		return 0;
	if (!leads_somewhere(template, service, packet)) {
		hide_template(template, &tuple, &flow);
		let_go(cold);
		return 0;
	}
	decision->destination = template->destination_index;
	decision->template = index + 1;
	template->expires = now_ns() + cold->timeout_seconds *NS_PER_SECOND;
	return 1;
}

/*
 * Undoes what start_template did, once its flow is out of the table again. Whoever has found it meanwhile keeps it
 * until its time has come.
 */
static __always_inline void withdraw_template(struct connection *template, struct cold_connection *cold,
					      const struct flow *flow)
{
	__u32 entry = flow->connection;

	if (!withdraw_holds(cold)) {
		let_go(cold);
		return;
	}
	change_persistent(template->destination_index, -1);
	end_state(template, flow->generation);
	bpf_map_push_elem(&free_connections, &entry, 0);
}

/* As it is to be found: with a time to live, and held by the connection that is about to be opened. */
static __always_inline void start_template(struct connection *template, struct cold_connection *cold,
					   const struct service *service)
{
	__u32 destination_index = template->destination_index;

	cold->timeout_seconds = service->persistence_seconds;
	template->expires = now_ns() + service->persistence_seconds *NS_PER_SECOND;
	begin_holds(cold);
	change_persistent(destination_index, 1);
	begin_state(template, STATE_TEMPLATE);
	note_orphan(template, destination_index);
}

/*
 * Has the client's later connections follow the one to the destination that was chosen, and holds the template for it.
 * @return REASON_TRANSLATED; or why not, REASON_DROPPED_BEING_OPENED if another CPU has made one meanwhile
 */
static __noinline enum reason make_template(const struct service *service, const struct packet *packet,
					    struct decision *decision)
{
	struct cold_connection *cold;
	struct connection *template;
	enum insertion insertion;
	struct tuple tuple;
	struct flow flow;
	__u32 index;

	template_tuple(&tuple, service, packet);
	template = fill_entry(&tuple, decision->destination, &flow);
	if (!template)
		return REASON_DROPPED_TABLE_FULL;
	index = flow.connection;
	cold = bpf_map_lookup_elem(&cold_connections, &index);
	if (!cold)
		return REASON_DROPPED_TABLE_FULL;
	template->flags |= CONNECTION_TEMPLATE;
	if (!has_own_port(service, packet))
		template->destination_port = 0;
	start_template(template, cold, service);
	insertion = is_taken(&tuple) ? TUPLE_TAKEN : insert_flow(&tuple, &flow);
	if (insertion == INSERTED) {
		decision->template = index + 1;
		return REASON_TRANSLATED;
	}
	withdraw_template(template, cold, &flow);
	return insertion == NO_ROOM ? REASON_DROPPED_TABLE_FULL : REASON_DROPPED_BEING_OPENED;
}

#endif
