// SPDX-License-Identifier: Apache-2.0
// Single system calls that Node has no function for.
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>

#include <cerrno>
#include <ctime>

#include "addon.h"
#include "fd.h"

static void MountBpf(const Napi::CallbackInfo &info)
{
	std::string path = StringArgument(info, 0, "path");
	if (mount("bpf", path.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		ThrowSystemError(info.Env(), "mount " + path, errno);
}

static Napi::Value IsBpf(const Napi::CallbackInfo &info)
{
	std::string path = StringArgument(info, 0, "path");
	struct statfs found;
	if (statfs(path.c_str(), &found))
		ThrowSystemError(info.Env(), "statfs " + path, errno);
	return Napi::Boolean::New(info.Env(), static_cast<uint32_t>(found.f_type) == BPF_FS_MAGIC);
}

/* SO_NETNS_COOKIE, since Linux 5.14: of the network namespace that the calling thread is in. */
static Napi::Value NetnsCookie(const Napi::CallbackInfo &info)
{
	Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	if (!fd.is_open())
		ThrowSystemError(info.Env(), "socket", errno);
	uint64_t cookie;
	socklen_t size = sizeof(cookie);
	if (getsockopt(fd.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size))
		ThrowSystemError(info.Env(), "getsockopt SO_NETNS_COOKIE", errno);
	return Napi::BigInt::New(info.Env(), cookie);
}

/* How far the coarse clock moves at each tick of the kernel: 1,000,000,000 / HZ. */
static Napi::Value TickNs(const Napi::CallbackInfo &info)
{
	timespec resolution;
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &resolution))
		ThrowSystemError(info.Env(), "clock_getres CLOCK_MONOTONIC_COARSE", errno);
	return Napi::Number::New(info.Env(), resolution.tv_nsec);
}

void RegisterSystem(Napi::Env env, Napi::Object exports)
{
	exports["mountBpf"] = Napi::Function::New<MountBpf>(env, "mountBpf");
	exports["isBpf"] = Napi::Function::New<IsBpf>(env, "isBpf");
	exports["netnsCookie"] = Napi::Function::New<NetnsCookie>(env, "netnsCookie");
	exports["tickNs"] = Napi::Function::New<TickNs>(env, "tickNs");
}
