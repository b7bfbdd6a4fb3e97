// SPDX-License-Identifier: Apache-2.0
// Maps: single elements, batches, iteration.
#include "map.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <algorithm>

static bool IsPerCpu(uint32_t type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

Map::Map(const Napi::CallbackInfo &info) : Descriptor(info)
{
	auto map = ReadInfo<bpf_map_info>("bpf_obj_get_info_by_fd");
	name_ = map.name;
	key_size_ = map.key_size;
	value_size_ = map.value_size;
	if (!IsPerCpu(map.type))
		return;
	int cpus = libbpf_num_possible_cpus();
	if (cpus < 0)
		Throw("libbpf_num_possible_cpus", cpus);
	value_size_ = (value_size_ + 7) / 8 * 8 * cpus;
}

Napi::Value Map::Info(const Napi::CallbackInfo &info)
{
	auto map = ReadInfo<bpf_map_info>("bpf_obj_get_info_by_fd");
	const char *type = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(map.type));
	Napi::Object result = Napi::Object::New(info.Env());
	result["id"] = map.id;
	result["name"] = static_cast<const char *>(map.name);
	result["type"] = type ? type : std::to_string(map.type);
	result["keySize"] = map.key_size;
	result["valueSize"] = map.value_size;
	result["crossingSize"] = static_cast<uint32_t>(value_size_);
	result["maxEntries"] = map.max_entries;
	result["flags"] = map.map_flags;
	return result;
}

Napi::Value Map::Lookup(const Napi::CallbackInfo &info)
{
	Bytes key = BytesArgument(info, 0, "key", key_size_);
	auto value = Napi::Buffer<uint8_t>::New(info.Env(), value_size_);
	int error = bpf_map_lookup_elem(fd("bpf_map_lookup_elem"), key.data, value.Data());
	if (error == -ENOENT)
		return info.Env().Undefined();
	if (error)
		Throw("bpf_map_lookup_elem", error);
	return value;
}

void Map::Update(const Napi::CallbackInfo &info)
{
	Bytes key = BytesArgument(info, 0, "key", key_size_);
	Bytes value = BytesArgument(info, 1, "value", value_size_);
	uint32_t flags = Uint32Argument(info, 2, "flags");
	int error = bpf_map_update_elem(fd("bpf_map_update_elem"), key.data, value.data, flags);
	if (error)
		Throw("bpf_map_update_elem", error);
}

Napi::Value Map::Delete(const Napi::CallbackInfo &info)
{
	Bytes key = BytesArgument(info, 0, "key", key_size_);
	int error = bpf_map_delete_elem(fd("bpf_map_delete_elem"), key.data);
	if (error && error != -ENOENT)
		Throw("bpf_map_delete_elem", error);
	return Napi::Boolean::New(info.Env(), !error);
}

Napi::Value Map::NextKey(const Napi::CallbackInfo &info)
{
	const uint8_t *previous =
		info[0].IsUndefined() ? nullptr : BytesArgument(info, 0, "previous", key_size_).data;
	auto key = Napi::Buffer<uint8_t>::New(info.Env(), key_size_);
	int error = bpf_map_get_next_key(fd("bpf_map_get_next_key"), previous, key.Data());
	if (error == -ENOENT)
		return info.Env().Undefined();
	if (error)
		Throw("bpf_map_get_next_key", error);
	return key;
}

Napi::Value Map::LookupBatch(const Napi::CallbackInfo &info)
{
	/* The kernel keeps its place in the bytes of a key, at least in an integer. */
	size_t place_size = std::max(key_size_, sizeof(uint32_t));
	uint8_t *place = info[0].IsUndefined() ? nullptr : BytesArgument(info, 0, "place", place_size).data;
	uint32_t count = Uint32Argument(info, 1, "count");
	Napi::Env env = info.Env();
	auto next = Napi::Buffer<uint8_t>::New(env, place_size);
	auto keys = Napi::Buffer<uint8_t>::New(env, key_size_ * count);
	auto values = Napi::Buffer<uint8_t>::New(env, value_size_ * count);
	int error = bpf_map_lookup_batch(fd("bpf_map_lookup_batch"), place, next.Data(), keys.Data(),
					 values.Data(), &count, nullptr);
	if (error && error != -ENOENT)
		Throw("bpf_map_lookup_batch", error);
	Napi::Object result = Napi::Object::New(env);
	result["keys"] = keys;
	result["values"] = values;
	result["count"] = count;
	result["next"] = error ? env.Undefined() : next;
	return result;
}

Napi::Value Map::UpdateBatch(const Napi::CallbackInfo &info)
{
	uint32_t count = Uint32Argument(info, 2, "count");
	Bytes keys = BytesArgument(info, 0, "keys", key_size_ * count);
	Bytes values = BytesArgument(info, 1, "values", value_size_ * count);
	LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = Uint32Argument(info, 3, "flags"));
	int error = bpf_map_update_batch(fd("bpf_map_update_batch"), keys.data, values.data, &count, &options);
	if (error)
		Throw("bpf_map_update_batch", error);
	return Napi::Number::New(info.Env(), count);
}

Napi::Value Map::DeleteBatch(const Napi::CallbackInfo &info)
{
	uint32_t count = Uint32Argument(info, 1, "count");
	Bytes keys = BytesArgument(info, 0, "keys", key_size_ * count);
	int error = bpf_map_delete_batch(fd("bpf_map_delete_batch"), keys.data, &count, nullptr);
	/* It stops at the first key that is not there; the count tells how far it came. */
	if (error && error != -ENOENT)
		Throw("bpf_map_delete_batch", error);
	return Napi::Number::New(info.Env(), count);
}

Napi::Function Map::Define(Napi::Env env)
{
	return DefineClass(env, "Map",
			   {
				   InstanceAccessor("fd", &Map::GetFd, nullptr),
				   InstanceMethod<&Map::Info>("info"),
				   InstanceMethod<&Map::Lookup>("lookup"),
				   InstanceMethod<&Map::Update>("update"),
				   InstanceMethod<&Map::Delete>("delete"),
				   InstanceMethod<&Map::NextKey>("nextKey"),
				   InstanceMethod<&Map::LookupBatch>("lookupBatch"),
				   InstanceMethod<&Map::UpdateBatch>("updateBatch"),
				   InstanceMethod<&Map::DeleteBatch>("deleteBatch"),
				   InstanceMethod("pin", &Map::Pin),
				   InstanceMethod("close", &Map::Close),
			   });
}

static Napi::Value OpenPinnedMap(const Napi::CallbackInfo &info)
{
	return OpenPinned<Map>(info, Addon::Of(info.Env()).map);
}

static Napi::Value PossibleCpus(const Napi::CallbackInfo &info)
{
	int cpus = libbpf_num_possible_cpus();
	if (cpus < 0)
		ThrowSystemError(info.Env(), "libbpf_num_possible_cpus", cpus);
	return Napi::Number::New(info.Env(), cpus);
}

void RegisterMap(Napi::Env env, Napi::Object exports)
{
	Addon::Of(env).map = Napi::Persistent(Map::Define(env));
	exports["openPinnedMap"] = Napi::Function::New<OpenPinnedMap>(env, "openPinnedMap");
	exports["possibleCpus"] = Napi::Function::New<PossibleCpus>(env, "possibleCpus");
}
