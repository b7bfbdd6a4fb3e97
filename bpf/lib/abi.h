// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every struct and enum that BPF programs and user space share; TypeScript's layouts are generated from their BTF. */
#ifndef BPVS_ABI_H
#define BPVS_ABI_H

#include <linux/types.h>

/* Raised with every change of a layout below, or of the maps: those pinned by another version are not adopted. */
enum abi_version {
	ABI_VERSION = 10,
};

/* What is known when programs are loaded, see lib/config.h: the lower half of its placeholder. Only ever appended to.
 */
enum load_time_constant {
	CONSTANT_HOST_NETNS_COOKIE,
	CONSTANT_MAX_CONNECTIONS,
	CONSTANT_MAX_HALF_OPEN,
	CONSTANT_FLOW_BUCKETS,
	CONSTANT_FLOW_SEED,
	CONSTANT_POSSIBLE_CPUS,
	CONSTANT_TICK_NS,
	CONSTANT_TELLS_OFFLOAD,
	CONSTANT_LOCAL_REDIRECT,
	CONSTANT_HAS_VIRTUAL_CLOCK,
};

/* The upper half, by which the loader tells that one was left. */
enum placeholder {
	PLACEHOLDER_MARK = 0x62707673,
};

enum family {
	FAMILY_IPV4 = 4,
	FAMILY_IPV6 = 6,
};

/* An IPv4 address is the first word, the others are zero; the family says which it is. */
struct address {
	__be32 words[4];
};

enum scheduler {
	SCHEDULER_NONE,
	SCHEDULER_RR,
	SCHEDULER_SH,
	SCHEDULER_DH,
	SCHEDULER_WRR,
	SCHEDULER_LC,
	SCHEDULER_WLC,
	SCHEDULER_LBLC,
	SCHEDULER_LBLCR,
	SCHEDULER_SED,
	SCHEDULER_NQ,
	SCHEDULER_MH,
	SCHEDULER_FO,
	SCHEDULER_OVF,
	SCHEDULER_TWOS,
};

/* Whose arithmetic: that of the stable kernels since 2026, or of those before (net/netfilter/ipvs/ip_vs_wlc.c). */
enum ipvs_profile {
	IPVS_PROFILE_RECENT,
	IPVS_PROFILE_CLASSIC,
};

/* include/uapi/linux/ip_vs.h: IP_VS_SVC_F_SCHED1.. shifted down to bit 0 */
enum scheduler_flag {
	SCHEDULER_FLAG_1 = 1 << 0, /* sh-fallback, mh-fallback */
	SCHEDULER_FLAG_2 = 1 << 1, /* sh-port, mh-port */
	SCHEDULER_FLAG_3 = 1 << 2,
};

/* What a client gets from a service that has no destination to give. */
enum no_destination {
	NO_DESTINATION_REJECT,
	NO_DESTINATION_DROP,
};

enum service_flag {
	SERVICE_ONE_PACKET = 1 << 0,    /* each datagram is scheduled by itself */
	SERVICE_OF_MARK = 1 << 1,       /* of packets with a firewall mark, whatever their address */
	SERVICE_HAS_OUTSIDE = 1 << 4,   /* clients outside have an entry of their own, see enum service_view */
	SERVICE_OUTSIDE_DROPS = 1 << 5, /* its no_destination, so that this entry tells all of the service */
	SERVICE_HAS_RANGES = 1 << 6,    /* only for clients of source_ranges */
};

/* Added to the family of a key: the same service as clients outside have it, with the same id and another table. */
enum service_view {
	VIEW_OUTSIDE = 0x80,
};

/* Services that take more than to look for a packet's address and port: those that there are, in settings. */
enum service_kind {
	SERVICES_OF_MARKS = 1 << 0,
	SERVICES_OF_FTP = 1 << 1,
	SERVICES_OF_ALL_PORTS = 1 << 2,
	SERVICES_AT_DESTINATIONS = 1 << 3, /* their address is a destination's, too */
};

/* Of a firewall mark, which is then the first word of the address, the protocol and the port are 0. */
struct service_key {
	struct address address;
	__be16 port;   /* 0: all ports that have no service of their own */
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	__u8 family;
};

struct service {
	__u32 id;
	/* The scheduler's table: places[table] is its state, places[table + 1 .. table + table_size] the table. */
	__u32 table;
	__u32 table_size;
	__u8 scheduler;
	__u8 scheduler_flags;
	__u8 no_destination;
	__u8 flags;                /* enum service_flag */
	__u32 persistence_seconds; /* 0: none */
	__u8 persistence_length;   /* bits of a client's address that tell it from others */
	__u8 padding;
	__be16 port; /* of its key */
};

/* Clients that may use a service, as BPF_MAP_TYPE_LPM_TRIE wants its keys. */
struct source_range {
	__u32 prefix_length; /* with the 32 bits of the service */
	__u32 service;       /* its id */
	struct address address;
};

enum destination_flag {
	/* Configured; without it the entry waits in the trash for the end of its connections. */
	DESTINATION_AVAILABLE = 1 << 0,
	/* It is in the table of one view only. */
	DESTINATION_INSIDE = 1 << 1,
	DESTINATION_OUTSIDE = 1 << 2,
};

/* First what new connections and their schedulers read. */
struct destination {
	struct address address;
	__be16 port;
	__u8 flags;      /* enum destination_flag */
	__u8 forwarding; /* IP_VS_CONN_F_MASQ .. : 0 masq, 1 local, 2 tunnel, 3 droute */
	__u32 weight;
	__u32 upper_threshold; /* with so many connections it is overloaded; 0: never */
	__u32 lower_threshold; /* with fewer it is not any more; 0: with fewer than three quarters of the upper one */
	struct address virtual_address;
	__be16 virtual_port;
	__u8 protocol;
	__u8 family;
	__u32 service; /* the id of its service */
	__u64 added;   /* a number that grows with every adding: the list is walked from the highest to the lowest */
	__u32 last_weight; /* the last one that was not 0, or the first: mh's table goes by it */
	__u8 padding[4];
};

/* Numbers of a destination's connections; InActConn is total - active. */
struct destination_load {
	__u32 active;
	__u32 total;
	__u32 persistent; /* templates */
	__u8 padding[4];
	__u64 opened; /* that there ever were; those of the entry's former tenants, too */
};

/* What a destination's connections have counted. */
struct destination_traffic {
	__u64 in_packets;
	__u64 out_packets;
	__u64 in_bytes;
	__u64 out_bytes;
};

/* What lblc or lblcr has of one service, from when that got the scheduler until it gets another one. */
struct cache {
	__u64 bound;   /* when, as connection.expires */
	__u32 entries; /* cached_addresses */
	__u32 surplus; /* of them, how many may still go in this housekeeping */
};

struct cached_address_key {
	__u64 cache; /* the number of its cache, which is never given twice */
	struct address address;
};

/* Whom the connections to an address go to: with lblc one destination, with lblcr the newest one of a set. */
struct cached_address {
	__u64 last_use; /* as connection.expires */
	__u64 set;      /* a number that is never given twice */
	__u64 changed;  /* when the set last was */
	__u32 destination;
	__u32 is_changing; /* someone is at it: nobody else changes the set */
};

struct cached_destination_key {
	__u64 set;
	__u32 destination;
	__u8 padding[4];
};

/* A destination of a set. */
struct cached_destination {
	struct cached_address_key address; /* whose set it is */
	__u32 older;                       /* the next one of the set, or one that is not in it at the end */
	__u8 padding[4];
};

struct statistics {
	__u64 connections;
	__u64 in_packets;
	__u64 out_packets;
	__u64 in_bytes;
	__u64 out_bytes;
};

/*
 * The estimator of rates: what it saw last, and each rate as a fixed-point number, signed, of 10 fractional bits for
 * connections and packets and 5 for bytes (net/netfilter/ipvs/ip_vs_est.c).
 */
struct estimate {
	struct statistics seen;
	struct statistics scaled;
	/* What is taken off the counters where they are shown: they only grow, ipvsadm -Z moves this. */
	struct statistics zero;
};

struct destination_estimate {
	struct estimate estimate;
	/* Of its statistics, what its service's and the node's have already. */
	struct statistics carried;
};

/* What the destinations of a service have counted, those that are gone included. */
struct service_statistics {
	struct statistics counted;
	struct estimate estimate;
};

/* The key of the node's own in service_statistics: what all services have counted, deleted ones included. */
#define NODE_STATISTICS 0xffffffffU

/*
 * TCP states of net/netfilter/ipvs/ip_vs_proto_tcp.c, then UDP's one, then those of ip_vs_proto_sctp.c. No connection
 * rests in STATE_NONE, so that is what an unused entry says.
 */
enum connection_state {
	STATE_NONE,
	STATE_ESTABLISHED,
	STATE_SYN_SENT,
	STATE_SYN_RECV,
	STATE_FIN_WAIT,
	STATE_TIME_WAIT,
	STATE_CLOSE,
	STATE_CLOSE_WAIT,
	STATE_LAST_ACK,
	STATE_LISTEN,
	STATE_SYNACK,
	STATE_TCP_COUNT,
	STATE_UDP = STATE_TCP_COUNT,
	STATE_SCTP_NONE, /* until its first packet has been looked at */
	STATE_SCTP_INIT1,
	STATE_SCTP_INIT,
	STATE_SCTP_C_SENT,
	STATE_SCTP_C_REPLIED,
	STATE_SCTP_C_WAIT,
	STATE_SCTP_COOKIE,
	STATE_SCTP_C_ECHOED,
	STATE_SCTP_ESTABLISHED,
	STATE_SCTP_S_SENT,
	STATE_SCTP_S_RECEIVED,
	STATE_SCTP_S_ACK_SENT,
	STATE_SCTP_REJECTED,
	STATE_SCTP_CLOSED,
	STATE_COUNT,
	/* Of templates, whose timeouts are their services'. */
	STATE_TEMPLATE = STATE_COUNT,
	STATE_TEMPLATE_ASSURED, /* a connection of it was answered */
};

/* In a template's protocol: no packet that is balanced has one with this bit, so none is taken for a template's. */
enum template_protocol {
	TEMPLATE_PROTOCOL = 0x40,
};

enum connection_flag {
	/* Both directions are met at the ingress of the client's device, which is also the destination's. */
	CONNECTION_HAIRPIN = 1 << 0,
	/* Translated by a socket of the host: no packet is seen, the entry lives as long as the socket. */
	CONNECTION_SOCKET = 1 << 1,
	/* The destination sees another source than the client: hairpins, and tuples that would collide. */
	CONNECTION_SOURCE_CHANGED = 1 << 2,
	/* Its addresses are in addresses6. */
	CONNECTION_IPV6 = 1 << 3,
	/* Client and destination are both outside: both directions are met at ingress and sent straight out. */
	CONNECTION_OUTSIDE = 1 << 4,
	/* No connection, but what remembers where a client's connections go (lib/template.h). */
	CONNECTION_TEMPLATE = 1 << 5,
	/* Opened by a template, which it holds. */
	CONNECTION_PERSISTENT = 1 << 6,
};

#define NEVER 0xffffffffffffffffULL

/*
 * One tracked flow, in one cache line. A request goes from client to virtual and is sent on from source to destination;
 * a reply goes from destination to source and is sent on from virtual to client. source is the client except where it
 * had to be changed.
 */
struct connection {
	__u64 expires; /* nanoseconds by the clock of lib/clock.h; NEVER while a connected socket keeps it */
	/* Packets and bytes in one number, see lib/traffic.h. */
	__u64 in_traffic;
	__u64 out_traffic;
	/* Changed together, see lib/state.h, so that counters never drift. */
	__u16 state; /* enum connection_state */
	__u16 generation;
	__u32 destination_index;
	__u8 protocol;
	__u8 flags;            /* enum connection_flag, as it was opened */
	__u8 is_half_open;     /* only one side has been heard */
	__u8 is_orphan;        /* its destination is not configured any more */
	__u32 half_open_place; /* while it is half open: its place in the ring */
	__be16 client_port;
	__be16 virtual_port;
	__be16 destination_port;
	__be16 source_port;
	/* Of IPv4; those of IPv6 are in addresses6. */
	__be32 client;
	__be32 virtual;
	__be32 destination;
	__be32 source;
};

/* The addresses of a connection with CONNECTION_IPV6. Same index as connections. */
struct addresses6 {
	struct address client;
	struct address virtual;
	struct address destination;
	struct address source;
};

/* A device that leads off this node, and the addresses of this node that packets have that leave there; zeros: none. */
struct uplink {
	struct address source4;
	struct address source6;
};

/* How a packet is sent straight to where its route leads. */
enum redirect {
	REDIRECT_NONE,      /* up the stack */
	REDIRECT_NEIGHBOUR, /* out of the device, the kernel sees to the neighbour */
	REDIRECT_PEER,      /* into the other end of the pair, in the pod */
};

/* Devices behind which there are only pods of this node. */
enum pod_device {
	POD_DEVICE_PAIR = 1, /* the host's end of a veth or netkit pair whose other end is in another namespace */
	POD_DEVICE_BRIDGE,
};

/* Where packets of one direction of a connection leave that are not sent up the stack. */
struct next_hop {
	__u64 checked; /* when the route was looked up, as connection.expires; 0: never */
	__u32 ifindex;
	__u8 gateway_family;
	__u8 has_link_addresses; /* the neighbour was known */
	__u8 link_destination[6];
	__u8 link_source[6];
	__u16 generation; /* of the connection that it was looked up for, where its destination is on this node */
	__u8 redirect;    /* enum redirect; the same */
	__u8 padding[3];
	struct address gateway;
};

/* The part of a connection that no packet needs. Same index as connections. */
struct cold_connection {
	/* Of its traffic, what its destination's statistics have already. */
	__u64 flushed_in_traffic;
	__u64 flushed_out_traffic;
	__u64 cookie;          /* of its socket, for CONNECTION_SOCKET */
	__u32 template;        /* index plus one, for CONNECTION_PERSISTENT */
	__u32 holds;           /* of a template, see lib/hold.h; else 0 */
	__u32 timeout_seconds; /* of a template */
	__u8 padding[4];
};

/* Whose way a packet goes, which is also the hook that turns it: requests at ingress, replies at egress. */
enum direction {
	DIRECTION_REQUEST,
	DIRECTION_REPLY,
};

/* Where a packet is met: the same tuple at ingress and at egress are two flows. */
enum hook {
	HOOK_INGRESS,
	HOOK_EGRESS,
};

/*
 * A program that packets are handed over to: HANDLER_REJECT is handle_reject, and so on. The order is part of the
 * layout: programs of another version may be attached while these take their places.
 */
enum handler {
	HANDLER_ORDINARY4,
	HANDLER_ORDINARY6,
	HANDLER_REJECT,
	HANDLER_ICMP_INGRESS,
	HANDLER_ICMP_EGRESS,
	HANDLER_NO_SERVICE,
	HANDLER_EXTENDED_INGRESS,
	HANDLER_EXTENDED_EGRESS,
	HANDLER_UPLINK,
	HANDLER_OUTSIDE,
	HANDLER_TIME_EXCEEDED,
	HANDLER_TOO_BIG,
	/* Of bpf/local.bpf.c, where local_redirect is on. */
	HANDLER_STRAIGHT4,
	HANDLER_STRAIGHT6,
	HANDLER_REPLY4,
	HANDLER_REPLY6,
	HANDLER_ONE_PACKET,
	HANDLER_OUTSIDE_FIRST,
	HANDLER_COUNT,
};

struct flow {
	__u32 connection; /* index into connections */
	__u16 generation; /* of that entry when the flow was made: the entry may have a new tenant since */
	__u8 direction;
	__u8 padding;
};

enum flow_table {
	FLOW_BUCKET_SLOTS = 7,
};

/* Flows, mostly of one client's address and port, in one cache line. */
struct flow_bucket {
	__u64 overflowed; /* how many more of them are in substitutes, for want of room */
	__u64 slots[FLOW_BUCKET_SLOTS];
};

/* The datagram that a fragment is of, where it is met. */
struct fragment_key {
	struct address source;
	struct address destination;
	__be32 id;
	__u8 protocol; /* 0 for IPv6 */
	__u8 family;
	__u8 hook;
	__u8 padding;
};

struct fragmented_datagram {
	__u64 expires; /* as connection.expires */
	struct flow flow;
	__u32 covered; /* bytes that have come without a gap, from the first on */
	__u8 padding[4];
};

/*
 * The bits of virtual_addresses and destination_addresses, two to the power of FILTER_BITS. Those of 512 addresses in a
 * row, a block, are in a row, too: in one cache line, which a hash of the block says.
 */
enum filter {
	FILTER_BITS = 20,
	FILTER_BLOCK_BITS = 9,
};

enum xdp_places {
	XDP_DEVICES = 4096,
};

/* A device that XDP was asked for. */
struct xdp_device {
	__u32 ifindex;   /* 0: none */
	__u32 refusal;   /* the errno of attaching, where tc serves the device alone; else 0 */
	__u8 address[6]; /* of frames that are for this host */
	__u8 may_send;   /* XDP may send frames out of it: none would be lost */
	__u8 padding;
};

/* An address that the data plane is the host of. */
struct hosted_address {
	struct address address;
	__u8 family;
	__u8 padding[3];
};

/* A socket of the host and whom it talks to: the virtual address as it asks for it, or the destination as it is
 * answered. */
struct socket_key {
	__u64 cookie;
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 family;
	__u8 direction;
	__u8 padding[3];
};

/* A connected socket of the host whose destination was removed: what it takes to find it, and to end its connection. */
struct orphaned_socket {
	__u64 cookie;
	struct address destination;
	__be16 port;
	__u16 generation;
	__u8 protocol;
	__u8 family;
	__u8 padding[2];
};

/* Why a packet was not simply translated; each counts in `reasons`. Names are those of the exported counters. */
enum reason {
	REASON_TRANSLATED,
	REASON_PASSED_NOT_OURS,
	REASON_PASSED_MALFORMED,
	REASON_PASSED_FRAGMENT,
	REASON_PASSED_FTP_DATA,
	REASON_PASSED_MARTIAN,
	REASON_ANSWERED_ECHO,
	REASON_REJECTED_NO_SERVICE,
	REASON_REJECTED_NO_DESTINATION,
	REASON_REJECTED_TOO_BIG,
	REASON_REJECTED_TIME_EXCEEDED,
	REASON_DROPPED_NO_DESTINATION,
	REASON_DROPPED_SOURCE_RANGE,
	REASON_DROPPED_REJECT_RATE,
	REASON_DROPPED_REJECT_FAILED,
	REASON_DROPPED_DESTINATION_GONE,
	REASON_DROPPED_TABLE_FULL,
	REASON_DROPPED_BEING_OPENED,
	REASON_DROPPED_PORTS_EXHAUSTED,
	REASON_DROPPED_NO_ROUTE,
	REASON_DROPPED_LAST_HOP,
	REASON_DROPPED_REWRITE_FAILED,
	REASON_DROPPED_HANDLER_MISSING,
	REASON_DROPPED_FRAGMENT_ORPHAN,
	REASON_DROPPED_FRAGMENT_OVERLAP,
	REASON_DROPPED_FRAGMENT_MALFORMED,
	REASON_DISPLACED_HALF_OPEN,
	REASON_EXPIRED,
	REASON_COUNT,
};

/* One entry; user space writes it, programs read it at every packet. */
struct settings {
	__u64 timeouts[STATE_COUNT]; /* nanoseconds, by enum connection_state */
	__u64 abi_version;
	__u64 flow_seed;         /* of the hashes in the map `flows`, for as long as that lives */
	__u8 expire_nodest_conn; /* the sysctls of net.ipv4.vs of these names */
	__u8 conn_reuse_mode;
	__u8 secure_tcp;   /* whether it is in force, values 2 and 3 */
	__u8 ipvs_profile; /* enum ipvs_profile */
	__u8 expire_quiescent_template;
	__u8 sloppy_tcp;
	__u8 sloppy_sctp;
	__u8 service_kinds;    /* enum service_kind */
	__u64 lblc_expiration; /* nanoseconds */
	__u64 lblcr_expiration;
};

/* What programs share with one another: cursors of the pools, the budget of rejects, the sweep. */
struct shared {
	__u32 used_connections;  /* entries of connections that were ever used: the rest needs no sweep */
	__u32 used_destinations; /* destinations that ever had a connection: the rest needs no estimate */
	__u32 half_open_cursor;
	__u32 sweep_cursor;
	__u32 estimate_turn;
	__u32 reject_tokens;
	__u64 reject_refilled; /* nanoseconds */
	__u64 virtual_now;     /* the time, where has_virtual_clock */
	__u64 clock_lead;      /* nanoseconds that the programs' clock is ahead of CLOCK_MONOTONIC */
	__u64 kept_house;      /* when the caches were last looked through, as connection.expires */
};

/* What `explain` found out, in the words of skb->cb. */
struct explanation {
	__u32 reason;      /* enum reason */
	__u32 connection;  /* index plus one of the connection that the packet belongs to, or 0 */
	__u32 destination; /* index plus one into destinations, or 0 */
	__u32 service;     /* id plus one, or 0 */
	__u32 place;       /* of the scheduler's table, plus one, or 0 */
};

_Static_assert(sizeof(struct address) == 16, "IPv6 must fit");
_Static_assert(sizeof(struct service_key) == 20, "a hash key has no hidden padding");
_Static_assert(sizeof(struct service) == 24, "the layout user space writes");
_Static_assert(sizeof(struct source_range) == 24, "a trie's key has no hidden padding");
_Static_assert(sizeof(struct destination) == 72, "the layout user space writes");
_Static_assert(sizeof(struct connection) == 64, "one cache line a packet");
_Static_assert(sizeof(struct flow) == 8, "as large as a slot");
_Static_assert(sizeof(struct flow_bucket) == 64, "one cache line a look-up");
_Static_assert(sizeof(struct hosted_address) == 20, "a hash key has no hidden padding");
_Static_assert(sizeof(struct fragment_key) == 40, "a hash key has no hidden padding");
_Static_assert(sizeof(struct fragmented_datagram) == 24, "a map's value has no hidden padding");
_Static_assert(sizeof(struct cached_address_key) == 24, "a hash key has no hidden padding");
_Static_assert(sizeof(struct cached_destination_key) == 16, "a hash key has no hidden padding");
_Static_assert(sizeof(struct socket_key) == 32, "a hash key has no hidden padding");
_Static_assert(sizeof(struct orphaned_socket) == 32, "the layout user space reads");
_Static_assert(sizeof(struct xdp_device) == 16, "the layout user space writes");
_Static_assert(sizeof(struct explanation) == 20, "as large as skb->cb");

#endif
