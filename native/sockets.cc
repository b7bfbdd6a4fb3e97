// SPDX-License-Identifier: Apache-2.0
// Sockets of the network namespace, listed and destroyed over socket diagnostics (sock_diag(7)).
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "netlink.h"

/* Room for a whole part of a dump; the kernel fills up to 32 KiB at once. */
static constexpr size_t BUFFER_SIZE = 32768;

static uint8_t AddressFamilyArgument(const Napi::CallbackInfo &info, size_t index)
{
	return Uint32Argument(info, index, "family") == 4 ? AF_INET : AF_INET6;
}

/** A request to socket diagnostics in the buffer, with its fields family and protocol set. */
static nlmsghdr *PutRequest(char *buffer, uint16_t type, uint16_t flags, uint8_t family, uint8_t protocol,
			    inet_diag_req_v2 **request)
{
	nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	header->nlmsg_seq = 1;
	*request = static_cast<inet_diag_req_v2 *>(mnl_nlmsg_put_extra_header(header, sizeof(**request)));
	(*request)->sdiag_family = family;
	(*request)->sdiag_protocol = protocol;
	return header;
}

struct SocketCollector {
	Napi::Env env;
	Napi::Array records;
};

static int CollectSocket(const nlmsghdr *message, void *context)
{
	auto *collector = static_cast<SocketCollector *>(context);
	if (mnl_nlmsg_get_payload_len(message) < sizeof(inet_diag_msg))
		return MNL_CB_OK;
	Napi::Env env = collector->env;
	auto *found = static_cast<inet_diag_msg *>(mnl_nlmsg_get_payload(message));
	const inet_diag_sockid &id = found->id;
	bool is_ipv4 = found->idiag_family == AF_INET;
	Napi::Object record = Napi::Object::New(env);
	record["family"] = is_ipv4 ? 4 : 6;
	record["cookie"] = Napi::BigInt::New(env, uint64_t{id.idiag_cookie[1]} << 32 | id.idiag_cookie[0]);
	record["peer"] = Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t *>(id.idiag_dst),
						     is_ipv4 ? 4 : 16);
	record["peerPort"] = ntohs(id.idiag_dport);
	record["id"] = Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t *>(&id), sizeof(id));
	collector->records[collector->records.Length()] = record;
	return MNL_CB_OK;
}

/** Receives until the answer ends; the errno that it ends with, or 0. */
static int Receive(Napi::Env env, const Socket &socket, mnl_cb_t collect, void *context)
{
	std::vector<char> buffer(BUFFER_SIZE);
	uint32_t port = mnl_socket_get_portid(socket.get());
	int state = MNL_CB_OK;
	while (state > MNL_CB_STOP) {
		ssize_t size = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
		if (size < 0)
			ThrowSystemError(env, "mnl_socket_recvfrom", errno);
		state = mnl_cb_run(buffer.data(), size, 1, port, collect, context);
	}
	return state < 0 ? errno : 0;
}

/* dumpSockets(family, protocol, states, peerPort): those in one of the TCP states (a bit each), a peer's port or any (0). */
static Napi::Value DumpSockets(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	uint8_t family = AddressFamilyArgument(info, 0);
	uint8_t protocol = Uint32Argument(info, 1, "protocol");
	uint32_t states = Uint32Argument(info, 2, "states");
	uint16_t peer_port = Uint32Argument(info, 3, "peerPort");
	Socket socket = OpenNetlinkSocket(env, NETLINK_SOCK_DIAG, 0);
	std::vector<char> buffer(MNL_SOCKET_BUFFER_SIZE);
	inet_diag_req_v2 *request;
	nlmsghdr *header = PutRequest(buffer.data(), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, family, protocol, &request);
	request->idiag_states = states;
	request->id.idiag_dport = htons(peer_port);
	if (mnl_socket_sendto(socket.get(), header, header->nlmsg_len) < 0)
		ThrowSystemError(env, "mnl_socket_sendto", errno);
	SocketCollector collector{env, Napi::Array::New(env)};
	if (int error = Receive(env, socket, CollectSocket, &collector))
		ThrowSystemError(env, "SOCK_DIAG_BY_FAMILY", error);
	return collector.records;
}

/* destroySocket(family, protocol, id): the socket of exactly this id, as dumpSockets gave it. */
static void DestroySocket(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	uint8_t family = AddressFamilyArgument(info, 0);
	uint8_t protocol = Uint32Argument(info, 1, "protocol");
	Bytes id = BytesArgument(info, 2, "id", sizeof(inet_diag_sockid));
	Socket socket = OpenNetlinkSocket(env, NETLINK_SOCK_DIAG, 0);
	std::vector<char> buffer(MNL_SOCKET_BUFFER_SIZE);
	inet_diag_req_v2 *request;
	nlmsghdr *header = PutRequest(buffer.data(), SOCK_DESTROY, NLM_F_ACK, family, protocol, &request);
	memcpy(&request->id, id.data, id.size);
	if (mnl_socket_sendto(socket.get(), header, header->nlmsg_len) < 0)
		ThrowSystemError(env, "mnl_socket_sendto", errno);
	if (int error = Receive(env, socket, nullptr, nullptr))
		ThrowSystemError(env, "SOCK_DESTROY", error);
}

void RegisterSockets(Napi::Env env, Napi::Object exports)
{
	exports["dumpSockets"] = Napi::Function::New<DumpSockets>(env, "dumpSockets");
	exports["destroySocket"] = Napi::Function::New<DestroySocket>(env, "destroySocket");
}
