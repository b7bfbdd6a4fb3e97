// SPDX-License-Identifier: Apache-2.0
// The addon's entry: makes an environment's data and registers every function.
#include "addon.h"

static void Initialize(const Napi::CallbackInfo &info)
{
	Addon::Of(info.Env()).system_error = Napi::Persistent(FunctionArgument(info, 0, "SystemError"));
}

static Napi::Object Load(Napi::Env env, Napi::Object exports)
{
	env.SetInstanceData(new Addon);
	LibbpfLog::Silence();
	exports["initialize"] = Napi::Function::New<Initialize>(env, "initialize");
	RegisterObject(env, exports);
	RegisterMap(env, exports);
	RegisterProgram(env, exports);
	RegisterLink(env, exports);
	RegisterTc(env, exports);
	RegisterNetlink(env, exports);
	RegisterWatch(env, exports);
	RegisterSockets(env, exports);
	RegisterSystem(env, exports);
	return exports;
}

NODE_API_MODULE(bpvs, Load)
