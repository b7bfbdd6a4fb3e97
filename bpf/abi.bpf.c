// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Never loaded: names the types of abi.h that user space reads, so that they all have BTF to generate layouts from. */
#include "lib/abi.h"

struct abi {
	struct service_key service_key;
	struct service service;
	struct destination destination;
	struct destination_load destination_load;
	struct cache cache;
	struct cached_address_key cached_address_key;
	struct cached_address cached_address;
	struct cached_destination_key cached_destination_key;
	struct cached_destination cached_destination;
	struct statistics statistics;
	struct estimate estimate;
	struct destination_estimate destination_estimate;
	struct service_statistics service_statistics;
	struct source_range source_range;
	struct connection connection;
	struct cold_connection cold_connection;
	struct addresses6 addresses6;
	struct uplink uplink;
	struct next_hop next_hop;
	struct flow flow;
	struct flow_bucket flow_bucket;
	struct fragment_key fragment_key;
	struct fragmented_datagram fragmented_datagram;
	struct hosted_address hosted_address;
	struct settings settings;
	struct shared shared;
	struct explanation explanation;
	struct orphaned_socket orphaned_socket;
	struct xdp_device xdp_device;
	enum connection_flag connection_flag;
	enum connection_state connection_state;
	enum destination_flag destination_flag;
	enum direction direction;
	enum family family;
	enum filter filter;
	enum flow_table flow_table;
	enum handler handler;
	enum hook hook;
	enum ipvs_profile ipvs_profile;
	enum no_destination no_destination;
	enum pod_device pod_device;
	enum reason reason;
	enum redirect redirect;
	enum scheduler scheduler;
	enum scheduler_flag scheduler_flag;
	enum service_flag service_flag;
	enum service_view service_view;
	enum service_kind service_kind;
	enum template_protocol template_protocol;
	enum xdp_places xdp_places;
	enum abi_version abi_version;
} abi;
