#include "kernel_objects.h"

#include <bpf/bpf.h>

#include <cstring>

#include "fd.h"
#include "load.h"
#include "maps.h"

namespace sfunnel {
namespace {

std::string nameOf(const char (&name)[BPF_OBJ_NAME_LEN]) {
    return std::string(name, strnlen(name, sizeof(name)));
}

struct Opened {
    Fd fd;
    struct bpf_map_info info;
};

Result<Opened> openMap(uint32_t id) {
    Opened map{Fd(bpf_map_get_fd_by_id(id)), {}};
    if (!map.fd.valid()) {
        return lastError("open map");
    }
    uint32_t length = sizeof(map.info);
    if (bpf_obj_get_info_by_fd(map.fd.get(), &map.info, &length) != 0) {
        return lastError("describe map");
    }
    return map;
}

} // namespace

Result<ProgramInfo> describeProgram(uint32_t id) {
    Fd program(bpf_prog_get_fd_by_id(id));
    if (!program.valid()) {
        return lastError("open program");
    }
    /* A first question for their number, a second for the ids. */
    std::vector<uint32_t> mapIds;
    for (int pass = 0; pass < 2; pass++) {
        struct bpf_prog_info info = {};
        uint32_t length = sizeof(info);
        info.nr_map_ids = static_cast<uint32_t>(mapIds.size());
        info.map_ids = reinterpret_cast<uintptr_t>(mapIds.data());
        if (bpf_obj_get_info_by_fd(program.get(), &info, &length) != 0) {
            return lastError("describe program");
        }
        if (pass == 1 || info.nr_map_ids == 0) {
            return ProgramInfo{nameOf(info.name), std::move(mapIds)};
        }
        mapIds.resize(info.nr_map_ids);
    }
    return Failure{EAGAIN, "describe program"};
}

Result<MapEntry> lookupMap(uint32_t id, const Bytes &key) {
    Result<Opened> opened = openMap(id);
    if (failed(opened)) {
        return failure(opened);
    }
    const auto &[fd, info] = value(opened);
    MapEntry entry{nameOf(info.name), std::nullopt};
    if (key.size() != info.key_size || key.empty()) {
        return entry;
    }
    Bytes found(entrySize(info.type, info.value_size));
    if (bpf_map_lookup_elem(fd.get(), key.data(), found.data()) == 0) {
        entry.value = std::move(found);
    } else if (errno != ENOENT) {
        return lastError("read map");
    }
    return entry;
}

Result<Bytes> readArray(uint32_t id) {
    Result<Opened> opened = openMap(id);
    if (failed(opened)) {
        return failure(opened);
    }
    auto &[fd, info] = value(opened);
    auto type = static_cast<enum bpf_map_type>(info.type);
    if (type != BPF_MAP_TYPE_ARRAY) {
        return Failure{EOPNOTSUPP, "read array"};
    }
    Map map{std::move(fd), type, info.key_size, entrySize(type, info.value_size), info.max_entries};
    return readArray(map, 0, map.maxEntries);
}

Napi::Value toJs(Napi::Env env, ProgramInfo &&info) {
    Napi::Object object = Napi::Object::New(env);
    Napi::Array mapIds = Napi::Array::New(env, info.mapIds.size());
    for (uint32_t i = 0; i < info.mapIds.size(); i++) {
        mapIds.Set(i, Napi::Number::New(env, info.mapIds[i]));
    }
    object.Set("name", Napi::String::New(env, info.name));
    object.Set("mapIds", mapIds);
    return object;
}

Napi::Value toJs(Napi::Env env, MapEntry &&entry) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", Napi::String::New(env, entry.mapName));
    if (entry.value) {
        object.Set("value", toJs(env, std::move(*entry.value)));
    }
    return object;
}

} // namespace sfunnel
