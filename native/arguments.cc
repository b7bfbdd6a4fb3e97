// SPDX-License-Identifier: Apache-2.0
// Checks of the kinds of arguments that exported functions receive.
#include "addon.h"

[[noreturn]] static void ThrowType(const Napi::CallbackInfo &info, size_t index, const char *name,
				   const std::string &expected)
{
	std::string received = info[index].ToString();
	throw Napi::TypeError::New(info.Env(),
				   "Expected " + expected + " for " + name + " but received " + received);
}

std::string StringArgument(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	if (!info[index].IsString())
		ThrowType(info, index, name, "a string");
	return info[index].As<Napi::String>();
}

uint32_t Uint32Argument(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	if (!info[index].IsNumber())
		ThrowType(info, index, name, "an unsigned 32-bit number");
	double value = info[index].As<Napi::Number>().DoubleValue();
	if (!(value >= 0 && value <= UINT32_MAX) || value != static_cast<uint32_t>(value))
		ThrowType(info, index, name, "an unsigned 32-bit number");
	return static_cast<uint32_t>(value);
}

bool BooleanArgument(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	if (!info[index].IsBoolean())
		ThrowType(info, index, name, "true or false");
	return info[index].As<Napi::Boolean>();
}

Napi::Function FunctionArgument(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	if (!info[index].IsFunction())
		ThrowType(info, index, name, "a function");
	return info[index].As<Napi::Function>();
}

Bytes BytesArgument(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	if (!info[index].IsTypedArray() || info[index].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
		ThrowType(info, index, name, "bytes");
	Napi::Uint8Array bytes = info[index].As<Napi::Uint8Array>();
	return {bytes.Data(), bytes.ByteLength()};
}

Bytes BytesArgument(const Napi::CallbackInfo &info, size_t index, const char *name, size_t size)
{
	Bytes bytes = BytesArgument(info, index, name);
	if (bytes.size != size)
		throw Napi::TypeError::New(info.Env(), "Expected " + std::to_string(size) + " bytes for " + name +
							       " but received " + std::to_string(bytes.size));
	return bytes;
}

Bytes OptionalBytesArgument(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	return info[index].IsUndefined() ? Bytes{} : BytesArgument(info, index, name);
}

Napi::Object InstanceArgument(const Napi::CallbackInfo &info, size_t index, const char *name,
			      const Napi::FunctionReference &constructor)
{
	if (!info[index].IsObject() || !info[index].As<Napi::Object>().InstanceOf(constructor.Value()))
		ThrowType(info, index, name, "a handle of the addon");
	return info[index].As<Napi::Object>();
}
