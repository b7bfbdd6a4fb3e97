// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every map. Sizes given here are minimal; the control plane sets the real ones before loading. */
#ifndef BPVS_MAPS_H
#define BPVS_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"
#include "link.h"

struct sweeper {
	struct bpf_timer timer;
};

/* Written by the control plane, read at every new connection. Full: the Service is not programmed, and that is said. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

/*
 * Of services that are not for everybody, their clients' networks. Written by the control plane, read at new
 * connections to such services. Full: the Service is not programmed, and that is said.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct source_range);
	__type(value, __u32);
} source_ranges SEC(".maps");

/* Written by the control plane, read at every new connection. Full: as services. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct destination);
} destinations SEC(".maps");

/*
 * A bit for each virtual address, and for each address of a destination, those in the trash included: packets with none
 * of them are no business of ours. Written by the control plane, read at every packet.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, (1 << FILTER_BITS) / 64);
	__type(key, __u32);
	__type(value, __u64);
} virtual_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, (1 << FILTER_BITS) / 64);
	__type(key, __u32);
	__type(value, __u64);
} destination_addresses SEC(".maps");

/*
 * The addresses of virtual services but for the node's own: what a host has to answer there, ping for one, is answered
 * by programs. Written by the control plane, read at rare packets. Not more than services.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct hosted_address);
	__type(value, __u32);
} hosted_addresses SEC(".maps");

/* Written by programs: by whoever wins the change of a connection's state. Same index as destinations. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct destination_load);
} destination_loads SEC(".maps");

/*
 * 1 where a destination has as many connections as its upper threshold, until it has fewer than its lower one. Written
 * by programs, see lib/overload.h, and by the control plane when thresholds change. Same index as destinations.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} overloads SEC(".maps");

/* Written by programs: the sums of what connections counted. Same index as destinations. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct destination_traffic);
} destination_traffic SEC(".maps");

/* Written by the timer and by programs that the control plane runs, read by listings. Same index as destinations. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct destination_estimate);
} destination_estimates SEC(".maps");

/*
 * By service.id, and the node's. The control plane makes and deletes entries, the rest is as of destination_estimates.
 * Has room for all services.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct service_statistics);
} service_statistics SEC(".maps");

/*
 * Schedulers' tables: a state, then places, whose lower half is an index into destinations. Written by the control
 * plane, the state by programs.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} places SEC(".maps");

/*
 * Caches of lblc and lblcr, by number: the state of a service's table. Made and removed by the control plane, counted
 * by programs. Not more than services.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct cache);
} caches SEC(".maps");

/* Written by programs. Full: new addresses are not remembered, their connections go to the least loaded destination. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct cached_address_key);
	__type(value, struct cached_address);
} cached_addresses SEC(".maps");

/* The sets of lblcr. Written by programs. Full: sets do not grow, connections go to the least loaded all the same. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct cached_destination_key);
	__type(value, struct cached_destination);
} cached_destinations SEC(".maps");

/*
 * The pool of connections, written by programs. Mappable only so that the entries begin at a cache line.
 * Full: the packet that wants a new one is dropped and counted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct connection);
} connections SEC(".maps");

/* Written by programs that open a connection. Same index as connections. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct addresses6);
} addresses6 SEC(".maps");

/* Written by whoever opens or ends a connection, and by the timer. Same index as connections. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cold_connection);
} cold_connections SEC(".maps");

/* Two for each connection, request and reply: index 2 * connection + direction. Written by programs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct next_hop);
} next_hops SEC(".maps");

/* Devices that lead off this node, by index. Written by the control plane. Full: what comes in by others is not sent on
 * to other nodes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct uplink);
} uplinks SEC(".maps");

/* Entries of connections that were used and are free again; the longest free is taken first. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_connections SEC(".maps");

/*
 * Both directions of every connection, by the client's end of the packet as it is met, see lib/flow.h. Written by
 * programs. Mappable only so that the buckets begin at a cache line. At most a seventh of the slots is in use; where
 * all buckets of a tuple are full all the same, the packet that wants a new connection is dropped and counted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct flow_bucket);
} flows SEC(".maps");

/*
 * Datagrams of which a first fragment has come, written by programs. Full: the one that was longest without a fragment
 * is forgotten, and what is still to come of it lost. A flood of first fragments costs others their datagrams in
 * flight; packets in one piece never come here.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fragment_key);
	__type(value, struct fragmented_datagram);
} fragments SEC(".maps");

/* Connections of the host's unconnected sockets, two entries each. Full: the datagram is refused and counted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct socket_key);
	__type(value, struct flow);
} sockets SEC(".maps");

/* The connection of a connected socket of the host, or the first of an unconnected one; goes with the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct flow);
} socket_connections SEC(".maps");

/*
 * By index into connections. Written when the control plane asks for it, which empties it then. Full: the rest comes
 * with the next list.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct orphaned_socket);
} orphaned_sockets SEC(".maps");

/*
 * Devices that are ports of a bridge, by index: the bridge's index. Written by the control plane. Full: its packets are
 * left to the stack.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} bridge_ports SEC(".maps");

/*
 * Devices of pods by index, as enum pod_device. Written by the control plane where local_redirect is on. Full: packets
 * of further ones are left to the stack.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} pod_devices SEC(".maps");

/*
 * Devices whose frames XDP meets, each at the place that the lowest bits of its index say. Written by the control
 * plane, read at every frame. Taken: tc serves the second one alone.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XDP_DEVICES);
	__type(key, __u32);
	__type(value, struct xdp_device);
} xdp_devices SEC(".maps");

/* One entry, the timer that ends what has expired. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sweeper);
} sweepers SEC(".maps");

/*
 * A ring of the connections that only one side has spoken on, as index plus one; 0 is free. A new one takes the place
 * of the oldest, so a flood of them displaces its own kind and no established connection. One that the other side has
 * answered gives its place back, if the ring has no more of them than its entry can say. Written by programs.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} half_open SEC(".maps");

/* Packets by enum reason. Written by programs. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASON_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* One entry, written by programs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shared);
} shared SEC(".maps");

/*
 * Programs that rare packets are handed over to, by enum handler. Written by the control plane before anything is
 * attached; emptied by the kernel when the map's last descriptor and pin are gone. Those of devices without link header
 * (lib/link.h) apart, filled before the first of these is attached.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, HANDLER_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} handlers SEC(".maps"), linkless_handlers SEC(".maps");

#endif
