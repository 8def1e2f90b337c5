/* Reads and writes maps by bpf(2). Sizes have been checked by the caller. */
#pragma once

#include <memory>
#include <string>

#include "load.h"

namespace sfunnel {

Result<Done> updateMap(const Map &map, const Bytes &keys, const Bytes &values, uint32_t count);
Result<Done> removeFromMap(const Map &map, const Bytes &keys, uint32_t count);
Result<Bytes> readArray(const Map &map, uint32_t first, uint32_t count);
/* Puts a new inner array of `count` entries at outer[slot], in one step for who reads it. */
Result<Done> publishArray(const Map &outer, uint32_t slot, const Bytes &values, uint32_t count);

} // namespace sfunnel
