// SPDX-License-Identifier: Apache-2.0
// Object files: what they define, what may be set before loading, and their maps and programs after it.
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <memory>

#include "map.h"
#include "program.h"

class Object : public Napi::ObjectWrap<Object> {
public:
	explicit Object(const Napi::CallbackInfo &info);
	static Napi::Function Define(Napi::Env env);

private:
	void Load(const Napi::CallbackInfo &info);
	Napi::Value Btf(const Napi::CallbackInfo &info);
	Napi::Value Maps(const Napi::CallbackInfo &info);
	Napi::Value Programs(const Napi::CallbackInfo &info);
	Napi::Value OpenMap(const Napi::CallbackInfo &info);
	Napi::Value OpenProgram(const Napi::CallbackInfo &info);
	void SetMaxEntries(const Napi::CallbackInfo &info);
	void ReuseMap(const Napi::CallbackInfo &info);
	void SetAutoload(const Napi::CallbackInfo &info);
	void Close(const Napi::CallbackInfo &) { object_.reset(); }

	bpf_object *object(const char *operation) const;
	bpf_map *FindMap(const Napi::CallbackInfo &info, const char *operation) const;
	bpf_program *FindProgram(const Napi::CallbackInfo &info, const char *operation) const;
	void Check(int error, const char *operation, const std::string &subject) const;
	Fd Duplicate(int fd, const char *operation, const std::string &subject) const;

	struct Closer {
		void operator()(bpf_object *object) const { bpf_object__close(object); }
	};
	std::string path_;
	std::unique_ptr<bpf_object, Closer> object_;
};

/* What libbpf calls an object that it opens by its path: the file's name up to the first dot. */
static std::string NameOf(const std::string &path)
{
	std::string file = path.substr(path.find_last_of('/') + 1);
	return file.substr(0, file.find('.'));
}

Object::Object(const Napi::CallbackInfo &info) : ObjectWrap(info), path_(StringArgument(info, 1, "path"))
{
	LibbpfLog log;
	Bytes file = BytesArgument(info, 0, "file");
	std::string name = NameOf(path_);
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name.c_str());
	object_.reset(bpf_object__open_mem(file.data, file.size, &options));
	if (!object_)
		ThrowSystemError(info.Env(), "bpf_object__open_mem " + path_, errno, log.text());
}

bpf_object *Object::object(const char *operation) const
{
	if (!object_)
		ThrowSystemError(Env(), std::string(operation) + " " + path_, EBADF);
	return object_.get();
}

void Object::Check(int error, const char *operation, const std::string &subject) const
{
	if (error)
		ThrowSystemError(Env(), std::string(operation) + " " + subject, error);
}

bpf_map *Object::FindMap(const Napi::CallbackInfo &info, const char *operation) const
{
	std::string name = StringArgument(info, 0, "map");
	bpf_map *map = bpf_object__find_map_by_name(object(operation), name.c_str());
	Check(map ? 0 : ENOENT, operation, name);
	return map;
}

bpf_program *Object::FindProgram(const Napi::CallbackInfo &info, const char *operation) const
{
	std::string name = StringArgument(info, 0, "program");
	bpf_program *program = bpf_object__find_program_by_name(object(operation), name.c_str());
	Check(program ? 0 : ENOENT, operation, name);
	return program;
}

/* Maps and programs outlive the object they come from. */
Fd Object::Duplicate(int fd, const char *operation, const std::string &subject) const
{
	Check(fd < 0 ? EBADF : 0, operation, subject);
	Fd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	Check(copy.is_open() ? 0 : errno, operation, subject);
	return copy;
}

void Object::Load(const Napi::CallbackInfo &info)
{
	LibbpfLog log;
	int error = bpf_object__load(object("bpf_object__load"));
	if (error)
		ThrowSystemError(info.Env(), "bpf_object__load " + path_, error, log.text());
}

Napi::Value Object::Btf(const Napi::CallbackInfo &info)
{
	const btf *types = bpf_object__btf(object("bpf_object__btf"));
	if (!types)
		return info.Env().Undefined();
	uint32_t size;
	const void *data = btf__raw_data(types, &size);
	Check(data ? 0 : ENOMEM, "btf__raw_data", path_);
	return Napi::Buffer<uint8_t>::Copy(info.Env(), static_cast<const uint8_t *>(data), size);
}

Napi::Value Object::Maps(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Napi::Array result = Napi::Array::New(env);
	bpf_object *owner = object("bpf_object__next_map");
	bpf_map *map;
	bpf_object__for_each_map(map, owner)
	{
		const char *type = libbpf_bpf_map_type_str(bpf_map__type(map));
		Napi::Object row = Napi::Object::New(env);
		row["name"] = bpf_map__name(map);
		row["type"] = type ? type : std::to_string(bpf_map__type(map));
		row["keySize"] = bpf_map__key_size(map);
		row["valueSize"] = bpf_map__value_size(map);
		row["maxEntries"] = bpf_map__max_entries(map);
		row["flags"] = bpf_map__map_flags(map);
		row["isSection"] = bpf_map__is_internal(map);
		row["keyType"] = bpf_map__btf_key_type_id(map);
		row["valueType"] = bpf_map__btf_value_type_id(map);
		result[result.Length()] = row;
	}
	return result;
}

Napi::Value Object::Programs(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Napi::Array result = Napi::Array::New(env);
	bpf_object *owner = object("bpf_object__next_program");
	bpf_program *program;
	bpf_object__for_each_program(program, owner)
	{
		const char *type = libbpf_bpf_prog_type_str(bpf_program__type(program));
		Napi::Object row = Napi::Object::New(env);
		row["name"] = bpf_program__name(program);
		row["section"] = bpf_program__section_name(program);
		row["type"] = type ? type : std::to_string(bpf_program__type(program));
		row["attachType"] = static_cast<uint32_t>(bpf_program__expected_attach_type(program));
		row["isAutoload"] = bpf_program__autoload(program);
		result[result.Length()] = row;
	}
	return result;
}

Napi::Value Object::OpenMap(const Napi::CallbackInfo &info)
{
	bpf_map *map = FindMap(info, "bpf_map__fd");
	return Map::New(info.Env(), Addon::Of(info.Env()).map,
			Duplicate(bpf_map__fd(map), "bpf_map__fd", bpf_map__name(map)));
}

Napi::Value Object::OpenProgram(const Napi::CallbackInfo &info)
{
	bpf_program *program = FindProgram(info, "bpf_program__fd");
	return Program::New(info.Env(), Addon::Of(info.Env()).program,
			    Duplicate(bpf_program__fd(program), "bpf_program__fd", bpf_program__name(program)));
}

void Object::SetMaxEntries(const Napi::CallbackInfo &info)
{
	bpf_map *map = FindMap(info, "bpf_map__set_max_entries");
	Check(bpf_map__set_max_entries(map, Uint32Argument(info, 1, "maxEntries")), "bpf_map__set_max_entries",
	      bpf_map__name(map));
}

void Object::ReuseMap(const Napi::CallbackInfo &info)
{
	bpf_map *map = FindMap(info, "bpf_map__reuse_fd");
	Map *reused = Map::Unwrap(InstanceArgument(info, 1, "reused", Addon::Of(info.Env()).map));
	Check(bpf_map__reuse_fd(map, reused->fd("bpf_map__reuse_fd")), "bpf_map__reuse_fd", bpf_map__name(map));
}

void Object::SetAutoload(const Napi::CallbackInfo &info)
{
	bpf_program *program = FindProgram(info, "bpf_program__set_autoload");
	Check(bpf_program__set_autoload(program, BooleanArgument(info, 1, "isAutoload")),
	      "bpf_program__set_autoload", bpf_program__name(program));
}

Napi::Function Object::Define(Napi::Env env)
{
	return DefineClass(env, "Object",
			   {
				   InstanceMethod<&Object::Load>("load"),
				   InstanceMethod<&Object::Btf>("btf"),
				   InstanceMethod<&Object::Maps>("maps"),
				   InstanceMethod<&Object::Programs>("programs"),
				   InstanceMethod<&Object::OpenMap>("openMap"),
				   InstanceMethod<&Object::OpenProgram>("openProgram"),
				   InstanceMethod<&Object::SetMaxEntries>("setMaxEntries"),
				   InstanceMethod<&Object::ReuseMap>("reuseMap"),
				   InstanceMethod<&Object::SetAutoload>("setAutoload"),
				   InstanceMethod<&Object::Close>("close"),
			   });
}

static Napi::Value OpenObject(const Napi::CallbackInfo &info)
{
	return Addon::Of(info.Env()).object.New({info[0], info[1]});
}

void RegisterObject(Napi::Env env, Napi::Object exports)
{
	Addon::Of(env).object = Napi::Persistent(Object::Define(env));
	exports["openObject"] = Napi::Function::New<OpenObject>(env, "openObject");
}
