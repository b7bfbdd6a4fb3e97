// SPDX-License-Identifier: Apache-2.0
// Programs: what the kernel knows of them, and test runs.
#include "program.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>

Program::Program(const Napi::CallbackInfo &info) : Descriptor(info)
{
	name_ = ReadInfo<bpf_prog_info>("bpf_obj_get_info_by_fd").name;
}

Program &Program::Argument(const Napi::CallbackInfo &info, size_t index)
{
	return *Unwrap(InstanceArgument(info, index, "program", Addon::Of(info.Env()).program));
}

Napi::Value Program::Info(const Napi::CallbackInfo &info)
{
	auto program = ReadInfo<bpf_prog_info>("bpf_obj_get_info_by_fd");
	const char *type = libbpf_bpf_prog_type_str(static_cast<bpf_prog_type>(program.type));
	Napi::Object result = Napi::Object::New(info.Env());
	result["id"] = program.id;
	result["name"] = static_cast<const char *>(program.name);
	result["type"] = type ? type : std::to_string(program.type);
	result["tag"] = Napi::Buffer<uint8_t>::Copy(info.Env(), program.tag, sizeof(program.tag));
	result["instructionCount"] = program.xlated_prog_len / static_cast<uint32_t>(sizeof(bpf_insn));
	result["verifiedInstructionCount"] = program.verified_insns;
	return result;
}

/* testRun(data, context, repeat, flags, dataOutSize, contextOutSize) */
Napi::Value Program::TestRun(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Bytes data = OptionalBytesArgument(info, 0, "data");
	Bytes context = OptionalBytesArgument(info, 1, "context");
	uint32_t repeat = Uint32Argument(info, 2, "repeat");
	uint32_t flags = Uint32Argument(info, 3, "flags");
	auto data_out = Napi::Buffer<uint8_t>::New(env, Uint32Argument(info, 4, "dataOutSize"));
	auto context_out = Napi::Buffer<uint8_t>::New(env, Uint32Argument(info, 5, "contextOutSize"));

	LIBBPF_OPTS(bpf_test_run_opts, run);
	run.data_in = data.data;
	run.data_size_in = data.size;
	run.ctx_in = context.data;
	run.ctx_size_in = context.size;
	/* Some types refuse an output that is there but empty. */
	run.data_out = data_out.Length() ? data_out.Data() : nullptr;
	run.data_size_out = data_out.Length();
	run.ctx_out = context_out.Length() ? context_out.Data() : nullptr;
	run.ctx_size_out = context_out.Length();
	run.repeat = static_cast<int>(repeat);
	run.flags = flags;
	int error = bpf_prog_test_run_opts(fd("bpf_prog_test_run_opts"), &run);
	if (error)
		Throw("bpf_prog_test_run_opts", error);

	Napi::Object result = Napi::Object::New(env);
	result["returnValue"] = run.retval;
	result["durationNs"] = run.duration;
	result["data"] = data_out;
	result["dataSize"] = run.data_size_out;
	result["context"] = context_out;
	result["contextSize"] = run.ctx_size_out;
	return result;
}

Napi::Function Program::Define(Napi::Env env)
{
	return DefineClass(env, "Program",
			   {
				   InstanceAccessor("fd", &Program::GetFd, nullptr),
				   InstanceMethod<&Program::Info>("info"),
				   InstanceMethod<&Program::TestRun>("testRun"),
				   InstanceMethod("pin", &Program::Pin),
				   InstanceMethod("close", &Program::Close),
			   });
}

static Napi::Value OpenPinnedProgram(const Napi::CallbackInfo &info)
{
	return OpenPinned<Program>(info, Addon::Of(info.Env()).program);
}

void RegisterProgram(Napi::Env env, Napi::Object exports)
{
	Addon::Of(env).program = Napi::Persistent(Program::Define(env));
	exports["openPinnedProgram"] = Napi::Function::New<OpenPinnedProgram>(env, "openPinnedProgram");
}
