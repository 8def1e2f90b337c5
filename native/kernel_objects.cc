#include "kernel_objects.h"

#include <bpf/bpf.h>

#include <cstring>

#include "fd.h"
#include "load.h"

namespace sfunnel {
namespace {

std::string nameOf(const char (&name)[BPF_OBJ_NAME_LEN]) {
    return std::string(name, strnlen(name, sizeof(name)));
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
    Fd map(bpf_map_get_fd_by_id(id));
    if (!map.valid()) {
        return lastError("open map");
    }
    struct bpf_map_info info = {};
    uint32_t length = sizeof(info);
    if (bpf_obj_get_info_by_fd(map.get(), &info, &length) != 0) {
        return lastError("describe map");
    }
    MapEntry entry{nameOf(info.name), std::nullopt};
    if (key.size() != info.key_size || key.empty()) {
        return entry;
    }
    Bytes found(entrySize(info.type, info.value_size));
    if (bpf_map_lookup_elem(map.get(), key.data(), found.data()) == 0) {
        entry.value = std::move(found);
    } else if (errno != ENOENT) {
        return lastError("read map");
    }
    return entry;
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
