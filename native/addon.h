// SPDX-License-Identifier: Apache-2.0
// What the addon's files share: per-environment data, errors, argument checks, and what each registers.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <string>

/** What one JavaScript environment (main thread or worker) has of the addon. */
struct Addon {
	/** The class SystemError of src/errors.ts. */
	Napi::FunctionReference system_error;
	Napi::FunctionReference object;
	Napi::FunctionReference map;
	Napi::FunctionReference program;
	Napi::FunctionReference link;
	Napi::FunctionReference network_watch;

	static Addon &Of(Napi::Env env) { return *env.GetInstanceData<Addon>(); }
};

/** Throws SystemError for a failed call; `error` is a positive or negative errno. */
[[noreturn]] void ThrowSystemError(Napi::Env env, const std::string &operation, int error,
				   const std::string &log = "");

/** Keeps what libbpf complains about on this thread while it lives; otherwise libbpf is quiet. */
class LibbpfLog {
public:
	LibbpfLog();
	~LibbpfLog();
	LibbpfLog(const LibbpfLog &) = delete;
	LibbpfLog &operator=(const LibbpfLog &) = delete;

	const std::string &text() const { return text_; }
	static void Silence();

private:
	std::string text_;
};

/** The memory of a Uint8Array; valid until the call that received it returns. */
struct Bytes {
	uint8_t *data = nullptr;
	size_t size = 0;
};

std::string StringArgument(const Napi::CallbackInfo &info, size_t index, const char *name);
uint32_t Uint32Argument(const Napi::CallbackInfo &info, size_t index, const char *name);
bool BooleanArgument(const Napi::CallbackInfo &info, size_t index, const char *name);
Napi::Function FunctionArgument(const Napi::CallbackInfo &info, size_t index, const char *name);
Bytes BytesArgument(const Napi::CallbackInfo &info, size_t index, const char *name);
/** Bytes of exactly this size. */
Bytes BytesArgument(const Napi::CallbackInfo &info, size_t index, const char *name, size_t size);
/** Bytes, or none where the argument is undefined. */
Bytes OptionalBytesArgument(const Napi::CallbackInfo &info, size_t index, const char *name);
/** The object behind an argument that must be an instance of `constructor`. */
Napi::Object InstanceArgument(const Napi::CallbackInfo &info, size_t index, const char *name,
			      const Napi::FunctionReference &constructor);

void RegisterObject(Napi::Env env, Napi::Object exports);
void RegisterMap(Napi::Env env, Napi::Object exports);
void RegisterProgram(Napi::Env env, Napi::Object exports);
void RegisterLink(Napi::Env env, Napi::Object exports);
void RegisterTc(Napi::Env env, Napi::Object exports);
void RegisterNetlink(Napi::Env env, Napi::Object exports);
void RegisterWatch(Napi::Env env, Napi::Object exports);
void RegisterSockets(Napi::Env env, Napi::Object exports);
void RegisterSystem(Napi::Env env, Napi::Object exports);
