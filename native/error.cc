// SPDX-License-Identifier: Apache-2.0
// Turns errno into SystemError, and collects what libbpf has to say about it.
#include <bpf/libbpf.h>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "addon.h"

/* The kernel's own code for "this map cannot do that"; libc has no name for it. */
static constexpr int KERNEL_ENOTSUPP = 524;

static std::string NameOf(int error)
{
	if (error == KERNEL_ENOTSUPP)
		return "ENOTSUPP";
	const char *name = strerrorname_np(error);
	return name ? name : "E" + std::to_string(error);
}

static std::string TextOf(int error)
{
	if (error == KERNEL_ENOTSUPP)
		return "Operation not supported by the kernel";
	const char *text = strerrordesc_np(error);
	return text ? text : "Unknown error";
}

void ThrowSystemError(Napi::Env env, const std::string &operation, int error, const std::string &log)
{
	int number = std::abs(error);
	std::string code = NameOf(number);
	Napi::Value log_or_undefined = log.empty() ? env.Undefined() : Napi::String::New(env, log);
	Napi::Object thrown = Addon::Of(env).system_error.New({
		Napi::String::New(env, operation),
		Napi::Number::New(env, number),
		Napi::String::New(env, code),
		Napi::String::New(env, operation + ": " + TextOf(number) + " (" + code + ")"),
		log_or_undefined,
	});
	throw Napi::Error(env, thrown);
}

/* libbpf has one print callback for the process and calls it on the thread that called libbpf. */
static thread_local std::string *collected;

static int Print(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (!collected || level == LIBBPF_DEBUG)
		return 0;
	va_list again;
	va_copy(again, arguments);
	int size = vsnprintf(nullptr, 0, format, arguments);
	if (size > 0) {
		size_t start = collected->size();
		collected->resize(start + size + 1);
		vsnprintf(collected->data() + start, size + 1, format, again);
		collected->resize(start + size);
	}
	va_end(again);
	return size;
}

void LibbpfLog::Silence()
{
	libbpf_set_print(Print);
}

LibbpfLog::LibbpfLog()
{
	collected = &text_;
}

LibbpfLog::~LibbpfLog()
{
	collected = nullptr;
}
