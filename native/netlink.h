// SPDX-License-Identifier: Apache-2.0
// Netlink: its sockets, and the messages of route netlink as JavaScript records.
#pragma once

#include <libmnl/libmnl.h>

#include <memory>

#include "addon.h"

struct SocketCloser {
	void operator()(mnl_socket *socket) const { mnl_socket_close(socket); }
};
using Socket = std::unique_ptr<mnl_socket, SocketCloser>;

/** A socket for requests to a netlink family (NETLINK_*), or one that listens to its groups. */
Socket OpenNetlinkSocket(Napi::Env env, int family, uint32_t groups);

/** A socket that listens to these groups (bits of RTMGRP_*), none for requests. */
Socket OpenRouteSocket(Napi::Env env, uint32_t groups);

/** What a message tells: "link", "link-gone", "address", "address-gone"; null for any other message. */
const char *EventOf(const nlmsghdr *message);

/** The link or address that such a message is about. */
Napi::Object RecordOf(Napi::Env env, const nlmsghdr *message);
