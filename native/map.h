// SPDX-License-Identifier: Apache-2.0
// A BPF map behind a descriptor.
#pragma once

#include "descriptor.h"

class Map : public Descriptor<Map> {
public:
	explicit Map(const Napi::CallbackInfo &info);
	static Napi::Function Define(Napi::Env env);

private:
	Napi::Value Info(const Napi::CallbackInfo &info);
	Napi::Value Lookup(const Napi::CallbackInfo &info);
	void Update(const Napi::CallbackInfo &info);
	Napi::Value Delete(const Napi::CallbackInfo &info);
	Napi::Value NextKey(const Napi::CallbackInfo &info);
	Napi::Value LookupBatch(const Napi::CallbackInfo &info);
	Napi::Value UpdateBatch(const Napi::CallbackInfo &info);
	Napi::Value DeleteBatch(const Napi::CallbackInfo &info);

	size_t key_size_;
	/** Of a value as it crosses the system call: a per-CPU map gives one for each possible CPU. */
	size_t value_size_;
};
