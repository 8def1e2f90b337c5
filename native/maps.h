/* Reads and writes maps by bpf(2). Sizes have been checked by the caller. */
#pragma once

#include <napi.h>

#include <memory>
#include <optional>
#include <string>

#include "load.h"

namespace sfunnel {

struct EntryCount {
    uint32_t entries;
};

Result<Done> updateMap(const Map &map, const Bytes &keys, const Bytes &values, uint32_t count);
Result<Done> removeFromMap(const Map &map, const Bytes &keys, uint32_t count);
Result<Bytes> readArray(const Map &map, uint32_t first, uint32_t count);
/*
 * Puts arrays at outer[slot] and behind, each in one step for who reads it. The kernel keeps them
 * from then on.
 */
Result<Done> placeArrays(const Map &outer, uint32_t slot,
                         const std::vector<std::shared_ptr<const Map>> &arrays);

/*
 * How many entries a hash map holds. Under traffic, a count of a moment that never was. With
 * `alone`, those whose byte at this place of the value is 0 come in pairs, and a pair counts once.
 */
Result<EntryCount> countEntries(const Map &map, std::optional<uint32_t> alone);

Napi::Value toJs(Napi::Env env, EntryCount &&count);

} // namespace sfunnel
