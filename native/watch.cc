// SPDX-License-Identifier: Apache-2.0
// Watches links and addresses: route netlink's groups on the environment's event loop.
#include <linux/rtnetlink.h>
#include <uv.h>

#include <cerrno>
#include <vector>

#include "netlink.h"

/**
 * The watching itself. It belongs to libuv from Start() to the end of closing, so that it may be closed from within
 * its own callback, and when the environment ends.
 */
class Watch {
public:
	Watch(Napi::Env env, Napi::Function callback)
		: env_(env), callback_(Napi::Persistent(callback)),
		  socket_(OpenRouteSocket(env, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
	{
	}

	void Start(uv_loop_t *loop);
	void Close();
	uv_handle_t *handle() { return reinterpret_cast<uv_handle_t *>(&poll_); }

private:
	static void OnReadable(uv_poll_t *poll, int status, int events);
	void Read();
	bool ReadOnce(Napi::Array records);
	void Call(Napi::Value records, Napi::Value error);

	Napi::Env env_;
	Napi::FunctionReference callback_;
	Socket socket_;
	uv_poll_t poll_;
	napi_async_cleanup_hook_handle cleanup_ = nullptr;
	bool is_closing_ = false;
	/** Events were lost, and those from before have not all been read. */
	bool has_overrun_ = false;
	std::vector<char> buffer_ = std::vector<char>(32768);
};

void Watch::Start(uv_loop_t *loop)
{
	int error = uv_poll_init(loop, &poll_, mnl_socket_get_fd(socket_.get()));
	if (error)
		ThrowSystemError(env_, "uv_poll_init", error);
	poll_.data = this;
	uv_poll_start(&poll_, UV_READABLE, OnReadable);
	napi_add_async_cleanup_hook(
		env_, [](napi_async_cleanup_hook_handle, void *watch) { static_cast<Watch *>(watch)->Close(); },
		this, &cleanup_);
}

void Watch::Close()
{
	if (is_closing_)
		return;
	is_closing_ = true;
	callback_.Reset();
	uv_close(handle(), [](uv_handle_t *handle) {
		auto *watch = static_cast<Watch *>(handle->data);
		napi_remove_async_cleanup_hook(watch->cleanup_);
		delete watch;
	});
}

void Watch::Call(Napi::Value records, Napi::Value error)
{
	if (is_closing_)
		return;
	try {
		callback_.MakeCallback(env_.Global(), {records, error});
	} catch (const Napi::Error &thrown) {
		napi_fatal_exception(env_, thrown.Value());
	}
}

/** Reads one datagram; false when there is none. */
bool Watch::ReadOnce(Napi::Array records)
{
	ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
	if (size < 0 && errno == ENOBUFS) {
		has_overrun_ = true;
		return true;
	}
	if (size < 0 && errno == EINTR)
		return true;
	if (size < 0 && errno == EAGAIN)
		return false;
	if (size < 0)
		ThrowSystemError(env_, "mnl_socket_recvfrom", errno);
	int rest = static_cast<int>(size);
	auto *message = reinterpret_cast<nlmsghdr *>(buffer_.data());
	for (; mnl_nlmsg_ok(message, rest); message = mnl_nlmsg_next(message, &rest)) {
		const char *event = EventOf(message);
		if (!event)
			continue;
		Napi::Object record = RecordOf(env_, message);
		record["event"] = event;
		records[records.Length()] = record;
	}
	return true;
}

void Watch::Read()
{
	Napi::Array records = Napi::Array::New(env_);
	/*
	 * A bounded number at a time: a storm of events must not hold up the event loop. But after an overrun the kernel drops
	 * events, without telling again, until the queue is empty: only then is it time to tell, and to list anew.
	 */
	for (int i = 0; (i < 64 || has_overrun_) && ReadOnce(records); i++)
		;
	if (has_overrun_) {
		Napi::Object overrun = Napi::Object::New(env_);
		overrun["event"] = "overrun";
		records[records.Length()] = overrun;
		has_overrun_ = false;
	}
	if (records.Length())
		Call(records, env_.Undefined());
}

void Watch::OnReadable(uv_poll_t *poll, int status, int)
{
	auto *watch = static_cast<Watch *>(poll->data);
	Napi::HandleScope scope(watch->env_);
	try {
		watch->Read();
	} catch (const Napi::Error &error) {
		watch->Call(watch->env_.Undefined(), error.Value());
	}
	/* An overrun is a pending error of the socket: libuv stops polling then, though reading clears it. */
	if (status < 0 && !watch->is_closing_)
		uv_poll_start(poll, UV_READABLE, OnReadable);
}

class NetworkWatch : public Napi::ObjectWrap<NetworkWatch> {
public:
	explicit NetworkWatch(const Napi::CallbackInfo &info) : ObjectWrap(info)
	{
		auto watch = std::make_unique<Watch>(info.Env(), FunctionArgument(info, 0, "callback"));
		uv_loop_t *loop;
		napi_get_uv_event_loop(info.Env(), &loop);
		watch->Start(loop);
		watch_ = watch.release();
	}

	static Napi::Function Define(Napi::Env env)
	{
		return DefineClass(env, "NetworkWatch",
				   {
					   InstanceMethod<&NetworkWatch::SetReferenced>("setReferenced"),
					   InstanceMethod<&NetworkWatch::Close>("close"),
				   });
	}

private:
	/* setReferenced(isReferenced): whether the watch keeps the process alive. */
	void SetReferenced(const Napi::CallbackInfo &info)
	{
		bool is_referenced = BooleanArgument(info, 0, "isReferenced");
		if (!watch_)
			return;
		if (is_referenced)
			uv_ref(watch_->handle());
		else
			uv_unref(watch_->handle());
	}

	void Close(const Napi::CallbackInfo &)
	{
		if (watch_)
			std::exchange(watch_, nullptr)->Close();
	}

	/* Not owned: a watch lives until it is closed, whether anyone holds this object or not. */
	Watch *watch_ = nullptr;
};

static Napi::Value WatchNetwork(const Napi::CallbackInfo &info)
{
	return Addon::Of(info.Env()).network_watch.New({info[0]});
}

void RegisterWatch(Napi::Env env, Napi::Object exports)
{
	Addon::Of(env).network_watch = Napi::Persistent(NetworkWatch::Define(env));
	exports["watchNetwork"] = Napi::Function::New<WatchNetwork>(env, "watchNetwork");
}
