/* Programs and maps that others loaded, by their kernel ids. */
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "args.h"
#include "result.h"

namespace sfunnel {

struct ProgramInfo {
    std::string name;
    std::vector<uint32_t> mapIds;
};

struct MapEntry {
    std::string mapName;
    std::optional<Bytes> value;
};

Result<ProgramInfo> describeProgram(uint32_t id);
/* A key of another length than the map's has no value. */
Result<MapEntry> lookupMap(uint32_t id, const Bytes &key);
/* All entries; EOPNOTSUPP where it is no plain array. */
Result<Bytes> readArray(uint32_t id);

Napi::Value toJs(Napi::Env env, ProgramInfo &&info);
Napi::Value toJs(Napi::Env env, MapEntry &&entry);

} // namespace sfunnel
