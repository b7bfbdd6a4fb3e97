// SPDX-License-Identifier: Apache-2.0
// Links and addresses of the network namespace, read over route netlink.
#include "netlink.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <vector>

/* Room for a whole part of a dump; the kernel fills up to 32 KiB at once. */
static constexpr size_t BUFFER_SIZE = 32768;

Socket OpenNetlinkSocket(Napi::Env env, int family, uint32_t groups)
{
	Socket socket(mnl_socket_open2(family, SOCK_CLOEXEC | SOCK_NONBLOCK * (groups != 0)));
	if (!socket)
		ThrowSystemError(env, "mnl_socket_open", errno);
	if (mnl_socket_bind(socket.get(), groups, MNL_SOCKET_AUTOPID))
		ThrowSystemError(env, "mnl_socket_bind", errno);
	return socket;
}

Socket OpenRouteSocket(Napi::Env env, uint32_t groups)
{
	return OpenNetlinkSocket(env, NETLINK_ROUTE, groups);
}

static Napi::Value BytesOf(Napi::Env env, const nlattr *attribute)
{
	return Napi::Buffer<uint8_t>::Copy(env, static_cast<uint8_t *>(mnl_attr_get_payload(attribute)),
					   mnl_attr_get_payload_len(attribute));
}

static std::string TextOf(const nlattr *attribute)
{
	const char *text = mnl_attr_get_str(attribute);
	return std::string(text, strnlen(text, mnl_attr_get_payload_len(attribute)));
}

/** Visits the attributes in a stretch of memory. (libmnl's own loops are not C++.) */
template <typename Visit> static void ForEachAttribute(const void *start, size_t size, Visit visit)
{
	auto *end = static_cast<const char *>(start) + size;
	auto *attribute = static_cast<const nlattr *>(start);
	while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char *>(attribute)))) {
		visit(attribute);
		attribute = mnl_attr_next(attribute);
	}
}

template <typename Visit> static void ForEachAttribute(const nlmsghdr *message, size_t header_size, Visit visit)
{
	size_t skipped = MNL_ALIGN(header_size);
	ForEachAttribute(mnl_nlmsg_get_payload_offset(message, header_size),
			 mnl_nlmsg_get_payload_len(message) - skipped, visit);
}

static void SetKinds(Napi::Object link, const nlattr *information)
{
	ForEachAttribute(mnl_attr_get_payload(information), mnl_attr_get_payload_len(information),
			 [&](const nlattr *attribute) {
				 uint16_t type = mnl_attr_get_type(attribute);
				 if (type == IFLA_INFO_KIND)
					 link["kind"] = TextOf(attribute);
				 else if (type == IFLA_INFO_SLAVE_KIND)
					 link["slaveKind"] = TextOf(attribute);
			 });
}

static void SetLinkField(Napi::Env env, Napi::Object link, const nlattr *attribute)
{
	switch (mnl_attr_get_type(attribute)) {
	case IFLA_IFNAME:
		link["name"] = TextOf(attribute);
		break;
	case IFLA_ADDRESS:
		link["address"] = BytesOf(env, attribute);
		break;
	case IFLA_MASTER:
		link["masterIndex"] = mnl_attr_get_u32(attribute);
		break;
	case IFLA_LINK:
		link["linkIndex"] = mnl_attr_get_u32(attribute);
		break;
	case IFLA_LINK_NETNSID:
		link["linkNamespaceId"] = static_cast<int32_t>(mnl_attr_get_u32(attribute));
		break;
	case IFLA_MTU:
		link["mtu"] = mnl_attr_get_u32(attribute);
		break;
	case IFLA_LINKINFO:
		SetKinds(link, attribute);
		break;
	}
}

static Napi::Object LinkOf(Napi::Env env, const nlmsghdr *message)
{
	auto *header = static_cast<ifinfomsg *>(mnl_nlmsg_get_payload(message));
	Napi::Object link = Napi::Object::New(env);
	link["index"] = header->ifi_index;
	link["type"] = header->ifi_type;
	link["isUp"] = (header->ifi_flags & IFF_UP) != 0;
	link["isLoopback"] = (header->ifi_flags & IFF_LOOPBACK) != 0;
	link["name"] = "";
	link["kind"] = "";
	link["slaveKind"] = "";
	link["address"] = Napi::Buffer<uint8_t>::New(env, 0);
	link["masterIndex"] = 0;
	link["linkIndex"] = 0;
	link["linkNamespaceId"] = env.Undefined();
	link["mtu"] = 0;
	ForEachAttribute(message, sizeof(*header),
			 [&](const nlattr *attribute) { SetLinkField(env, link, attribute); });
	return link;
}

static Napi::Object AddressOf(Napi::Env env, const nlmsghdr *message)
{
	auto *header = static_cast<ifaddrmsg *>(mnl_nlmsg_get_payload(message));
	uint32_t flags = header->ifa_flags;
	const nlattr *local = nullptr, *remote = nullptr;
	ForEachAttribute(message, sizeof(*header), [&](const nlattr *attribute) {
		uint16_t type = mnl_attr_get_type(attribute);
		if (type == IFA_LOCAL)
			local = attribute;
		else if (type == IFA_ADDRESS)
			remote = attribute;
		else if (type == IFA_FLAGS)
			flags = mnl_attr_get_u32(attribute);
	});
	/* On a point-to-point link IFA_ADDRESS is the peer's; without a peer, IPv6 gives only IFA_ADDRESS. */
	const nlattr *own = local ? local : remote;
	Napi::Object address = Napi::Object::New(env);
	address["ifindex"] = header->ifa_index;
	address["family"] = header->ifa_family == AF_INET ? 4 : 6;
	address["address"] = own ? BytesOf(env, own) : Napi::Buffer<uint8_t>::New(env, 0);
	address["prefixLength"] = header->ifa_prefixlen;
	address["scope"] = header->ifa_scope;
	address["isTentative"] = (flags & IFA_F_TENTATIVE) != 0;
	address["isDeprecated"] = (flags & IFA_F_DEPRECATED) != 0;
	return address;
}

const char *EventOf(const nlmsghdr *message)
{
	/* The family is the first byte of either header. */
	uint8_t family = *static_cast<uint8_t *>(mnl_nlmsg_get_payload(message));
	bool is_ip = family == AF_INET || family == AF_INET6;
	switch (message->nlmsg_type) {
	/* Link messages of the bridge family tell about a port's membership, not about the link. */
	case RTM_NEWLINK:
		return family == AF_UNSPEC ? "link" : nullptr;
	case RTM_DELLINK:
		return family == AF_UNSPEC ? "link-gone" : nullptr;
	case RTM_NEWADDR:
		return is_ip ? "address" : nullptr;
	case RTM_DELADDR:
		return is_ip ? "address-gone" : nullptr;
	}
	return nullptr;
}

Napi::Object RecordOf(Napi::Env env, const nlmsghdr *message)
{
	uint16_t type = message->nlmsg_type;
	return type == RTM_NEWLINK || type == RTM_DELLINK ? LinkOf(env, message) : AddressOf(env, message);
}

struct Collector {
	Napi::Env env;
	Napi::Array records;
};

static int Collect(const nlmsghdr *message, void *context)
{
	auto *collector = static_cast<Collector *>(context);
	if (EventOf(message))
		collector->records[collector->records.Length()] = RecordOf(collector->env, message);
	return MNL_CB_OK;
}

/* dumpNetwork(isAddresses): every link or every address, as records. */
static Napi::Value DumpNetwork(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bool is_addresses = BooleanArgument(info, 0, "isAddresses");
	Socket socket = OpenRouteSocket(env, 0);
	std::vector<char> buffer(BUFFER_SIZE);
	nlmsghdr *request = mnl_nlmsg_put_header(buffer.data());
	request->nlmsg_type = is_addresses ? RTM_GETADDR : RTM_GETLINK;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = 1;
	mnl_nlmsg_put_extra_header(request, is_addresses ? sizeof(ifaddrmsg) : sizeof(ifinfomsg));
	if (mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0)
		ThrowSystemError(env, "mnl_socket_sendto", errno);

	Collector collector{env, Napi::Array::New(env)};
	uint32_t port = mnl_socket_get_portid(socket.get());
	int state = MNL_CB_OK;
	while (state > MNL_CB_STOP) {
		ssize_t size = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
		if (size < 0)
			ThrowSystemError(env, "mnl_socket_recvfrom", errno);
		state = mnl_cb_run(buffer.data(), size, 1, port, Collect, &collector);
	}
	if (state < 0)
		ThrowSystemError(env, is_addresses ? "RTM_GETADDR" : "RTM_GETLINK", errno);
	return collector.records;
}

void RegisterNetlink(Napi::Env env, Napi::Object exports)
{
	exports["dumpNetwork"] = Napi::Function::New<DumpNetwork>(env, "dumpNetwork");
}
