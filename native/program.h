// SPDX-License-Identifier: Apache-2.0
// A loaded BPF program behind a descriptor.
#pragma once

#include "descriptor.h"

class Program : public Descriptor<Program> {
public:
	explicit Program(const Napi::CallbackInfo &info);
	static Napi::Function Define(Napi::Env env);
	/** The program behind an argument. */
	static Program &Argument(const Napi::CallbackInfo &info, size_t index);

private:
	Napi::Value Info(const Napi::CallbackInfo &info);
	Napi::Value TestRun(const Napi::CallbackInfo &info);
};
