// SPDX-License-Identifier: Apache-2.0
// Links: programs attached to devices and control groups.
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <cstring>

#include "descriptor.h"
#include "program.h"

class Link : public Descriptor<Link> {
public:
	explicit Link(const Napi::CallbackInfo &info) : Descriptor(info)
	{
		name_ = std::to_string(ReadInfo<bpf_link_info>("bpf_obj_get_info_by_fd").id);
	}
	static Napi::Function Define(Napi::Env env);

private:
	Napi::Value Info(const Napi::CallbackInfo &info);
	void Update(const Napi::CallbackInfo &info);
	void Detach(const Napi::CallbackInfo &info);
};

/* The start of bpf_link_info's type-specific part, also of types that the headers of Linux 6.1 do not know. */
struct DeviceInfo {
	uint32_t ifindex;
	uint32_t attach_type;
};

Napi::Value Link::Info(const Napi::CallbackInfo &info)
{
	auto link = ReadInfo<bpf_link_info>("bpf_obj_get_info_by_fd");
	DeviceInfo device;
	static_assert(sizeof(device) <= sizeof(link) - offsetof(bpf_link_info, xdp));
	memcpy(&device, &link.xdp, sizeof(device));
	Napi::Object result = Napi::Object::New(info.Env());
	result["id"] = link.id;
	result["type"] = link.type;
	result["programId"] = link.prog_id;
	result["ifindex"] = device.ifindex;
	result["deviceAttachType"] = device.attach_type;
	result["cgroupAttachType"] = link.cgroup.attach_type;
	return result;
}

void Link::Update(const Napi::CallbackInfo &info)
{
	Program &program = Program::Argument(info, 0);
	int error = bpf_link_update(fd("bpf_link_update"), program.fd("bpf_link_update"), nullptr);
	if (error)
		Throw("bpf_link_update", error);
}

void Link::Detach(const Napi::CallbackInfo &)
{
	int error = bpf_link_detach(fd("bpf_link_detach"));
	if (error)
		Throw("bpf_link_detach", error);
}

Napi::Function Link::Define(Napi::Env env)
{
	return DefineClass(env, "Link",
			   {
				   InstanceMethod<&Link::Info>("info"),
				   InstanceMethod<&Link::Update>("update"),
				   InstanceMethod<&Link::Detach>("detach"),
				   InstanceMethod("pin", &Link::Pin),
				   InstanceMethod("close", &Link::Close),
			   });
}

/* createLink(program, target, attachType, flags): the target is an ifindex or a control group's descriptor. */
static Napi::Value CreateLink(const Napi::CallbackInfo &info)
{
	Program &program = Program::Argument(info, 0);
	uint32_t target = Uint32Argument(info, 1, "target");
	uint32_t attach_type = Uint32Argument(info, 2, "attachType");
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = Uint32Argument(info, 3, "flags"));
	Fd link(bpf_link_create(program.fd("bpf_link_create"), static_cast<int>(target),
				static_cast<bpf_attach_type>(attach_type), &options));
	if (!link.is_open())
		program.Throw("bpf_link_create", errno);
	return Link::New(info.Env(), Addon::Of(info.Env()).link, std::move(link));
}

static Napi::Value OpenPinnedLink(const Napi::CallbackInfo &info)
{
	return OpenPinned<Link>(info, Addon::Of(info.Env()).link);
}

static Napi::Value AttachTypeOf(const Napi::CallbackInfo &info)
{
	std::string section = StringArgument(info, 0, "section");
	bpf_attach_type type;
	int error = libbpf_attach_type_by_name(section.c_str(), &type);
	if (error)
		ThrowSystemError(info.Env(), "libbpf_attach_type_by_name " + section, error);
	return Napi::Number::New(info.Env(), type);
}

void RegisterLink(Napi::Env env, Napi::Object exports)
{
	Addon::Of(env).link = Napi::Persistent(Link::Define(env));
	exports["createLink"] = Napi::Function::New<CreateLink>(env, "createLink");
	exports["openPinnedLink"] = Napi::Function::New<OpenPinnedLink>(env, "openPinnedLink");
	exports["attachTypeOf"] = Napi::Function::New<AttachTypeOf>(env, "attachTypeOf");
}
