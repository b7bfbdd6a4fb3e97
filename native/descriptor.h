// SPDX-License-Identifier: Apache-2.0
// What maps, programs and links have in common: a BPF descriptor that can be pinned and closed.
#pragma once

#include <bpf/bpf.h>
#include <cerrno>

#include <string>

#include "addon.h"
#include "fd.h"

template <typename T> class Descriptor : public Napi::ObjectWrap<T> {
public:
	/** Wraps a descriptor as a new JavaScript object, which owns it from now on. */
	static Napi::Object New(Napi::Env env, const Napi::FunctionReference &constructor, Fd fd)
	{
		return constructor.New({Napi::External<Fd>::New(env, &fd)});
	}

	explicit Descriptor(const Napi::CallbackInfo &info) : Napi::ObjectWrap<T>(info)
	{
		if (!info[0].IsExternal())
			throw Napi::TypeError::New(info.Env(), "Expected a descriptor of the addon");
		fd_ = std::move(*info[0].As<Napi::External<Fd>>().Data());
	}

	/** The descriptor; throws EBADF after close(). */
	int fd(const char *operation) const
	{
		if (!fd_.is_open())
			Throw(operation, EBADF);
		return fd_.get();
	}

	[[noreturn]] void Throw(const char *operation, int error) const
	{
		ThrowSystemError(this->Env(), std::string(operation) + " " + name_, error);
	}

protected:
	template <typename Info> Info ReadInfo(const char *operation) const
	{
		Info result = {};
		uint32_t size = sizeof(result);
		int error = bpf_obj_get_info_by_fd(fd(operation), &result, &size);
		if (error)
			Throw(operation, error);
		return result;
	}

	Napi::Value GetFd(const Napi::CallbackInfo &info) { return Napi::Number::New(info.Env(), fd("fd")); }

	void Pin(const Napi::CallbackInfo &info)
	{
		std::string path = StringArgument(info, 0, "path");
		int error = bpf_obj_pin(fd("bpf_obj_pin"), path.c_str());
		if (error)
			ThrowSystemError(info.Env(), "bpf_obj_pin " + path, error);
	}

	void Close(const Napi::CallbackInfo &) { fd_.Close(); }

	/** For messages: the name of the map or program. */
	std::string name_;

private:
	Fd fd_;
};

/** The function openPinned(path) of a class. */
template <typename T>
Napi::Value OpenPinned(const Napi::CallbackInfo &info, const Napi::FunctionReference &constructor)
{
	std::string path = StringArgument(info, 0, "path");
	Fd fd(bpf_obj_get(path.c_str()));
	if (!fd.is_open())
		ThrowSystemError(info.Env(), "bpf_obj_get " + path, errno);
	return T::New(info.Env(), constructor, std::move(fd));
}
