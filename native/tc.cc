// SPDX-License-Identifier: Apache-2.0
// Classifiers on a clsact qdisc, for kernels without tcx.
#include <bpf/libbpf.h>

#include "program.h"

static bpf_tc_hook HookOf(const Napi::CallbackInfo &info, size_t index)
{
	LIBBPF_OPTS(bpf_tc_hook, hook);
	hook.ifindex = static_cast<int>(Uint32Argument(info, index, "ifindex"));
	hook.attach_point = BooleanArgument(info, index + 1, "isEgress") ? BPF_TC_EGRESS : BPF_TC_INGRESS;
	return hook;
}

static bpf_tc_opts FilterOf(const Napi::CallbackInfo &info, size_t index)
{
	LIBBPF_OPTS(bpf_tc_opts, filter);
	filter.handle = Uint32Argument(info, index, "handle");
	filter.priority = Uint32Argument(info, index + 1, "priority");
	return filter;
}

/* createClsact(ifindex): EEXIST where the device has one. */
static void CreateClsact(const Napi::CallbackInfo &info)
{
	LIBBPF_OPTS(bpf_tc_hook, hook);
	hook.ifindex = static_cast<int>(Uint32Argument(info, 0, "ifindex"));
	hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
	int error = bpf_tc_hook_create(&hook);
	if (error)
		ThrowSystemError(info.Env(), "bpf_tc_hook_create " + std::to_string(hook.ifindex), error);
}

/* attachTc(program, ifindex, isEgress, handle, priority): replaces the program of that handle and priority. */
static void AttachTc(const Napi::CallbackInfo &info)
{
	Program &program = Program::Argument(info, 0);
	bpf_tc_hook hook = HookOf(info, 1);
	bpf_tc_opts filter = FilterOf(info, 3);
	filter.prog_fd = program.fd("bpf_tc_attach");
	filter.flags = BPF_TC_F_REPLACE;
	int error = bpf_tc_attach(&hook, &filter);
	if (error)
		program.Throw("bpf_tc_attach", error);
}

/* detachTc(ifindex, isEgress, handle, priority) */
static void DetachTc(const Napi::CallbackInfo &info)
{
	bpf_tc_hook hook = HookOf(info, 0);
	bpf_tc_opts filter = FilterOf(info, 2);
	int error = bpf_tc_detach(&hook, &filter);
	if (error)
		ThrowSystemError(info.Env(), "bpf_tc_detach " + std::to_string(hook.ifindex), error);
}

/* queryTc(ifindex, isEgress, handle, priority): the program's id. */
static Napi::Value QueryTc(const Napi::CallbackInfo &info)
{
	bpf_tc_hook hook = HookOf(info, 0);
	bpf_tc_opts filter = FilterOf(info, 2);
	int error = bpf_tc_query(&hook, &filter);
	if (error)
		ThrowSystemError(info.Env(), "bpf_tc_query " + std::to_string(hook.ifindex), error);
	return Napi::Number::New(info.Env(), filter.prog_id);
}

void RegisterTc(Napi::Env env, Napi::Object exports)
{
	exports["createClsact"] = Napi::Function::New<CreateClsact>(env, "createClsact");
	exports["attachTc"] = Napi::Function::New<AttachTc>(env, "attachTc");
	exports["detachTc"] = Napi::Function::New<DetachTc>(env, "detachTc");
	exports["queryTc"] = Napi::Function::New<QueryTc>(env, "queryTc");
}
