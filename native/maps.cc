#include "maps.h"

#include <linux/bpf.h>

#include <cstring>

namespace sfunnel {
namespace {

/* Below this one call an entry is as good. */
constexpr uint32_t worthABatch = 32;

Result<Done> updateEach(int fd, const uint8_t *keys, size_t keySize, const uint8_t *values,
                        size_t valueSize, uint32_t count) {
    for (size_t i = 0; i < count; i++) {
        if (bpf_map_update_elem(fd, keys + i * keySize, values + i * valueSize, BPF_ANY) != 0) {
            return lastError("write map");
        }
    }
    return Done{};
}

/* False where the kernel knows no batches of this type of map. */
bool readBatch(const Map &map, uint32_t first, uint32_t count, Bytes &values) {
    if (count < worthABatch) {
        return false;
    }
    Bytes keys(size_t{map.keySize} * count);
    /* The position of an array is the last index that was read. */
    uint32_t position = first - 1, next = 0, got = count;
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    int error = bpf_map_lookup_batch(map.fd.get(), first == 0 ? nullptr : &position, &next,
                                     keys.data(), values.data(), &got, &options);
    return (error == 0 || errno == ENOENT) && got == count;
}

} // namespace

Result<Done> updateMap(const Map &map, const Bytes &keys, const Bytes &values, uint32_t count) {
    if (count >= worthABatch) {
        uint32_t written = count;
        LIBBPF_OPTS(bpf_map_batch_opts, options);
        if (bpf_map_update_batch(map.fd.get(), keys.data(), values.data(), &written, &options) ==
            0) {
            return Done{};
        }
        /*
         * Kernels before 5.6 know no batch, and many a map type learned it later. Which errno
         * says so varies (EINVAL, ENOTSUPP); a real cause comes up again entry by entry.
         */
    }
    return updateEach(map.fd.get(), keys.data(), map.keySize, values.data(), map.valueSize, count);
}

Result<Done> removeFromMap(const Map &map, const Bytes &keys, uint32_t count) {
    for (size_t i = 0; i < count; i++) {
        if (bpf_map_delete_elem(map.fd.get(), keys.data() + i * map.keySize) != 0 &&
            errno != ENOENT) {
            return lastError("delete from map");
        }
    }
    return Done{};
}

Result<Bytes> readArray(const Map &map, uint32_t first, uint32_t count) {
    Bytes values(map.valueSize * count);
    if (readBatch(map, first, count, values)) {
        return values;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = first + i;
        if (bpf_map_lookup_elem(map.fd.get(), &key, values.data() + i * map.valueSize) != 0) {
            return lastError("read map");
        }
    }
    return values;
}

Result<EntryCount> countEntries(const Map &map, std::optional<uint32_t> alone) {
    /* A batch need not hold a whole bucket's worth less than this: larger ones do not occur. */
    constexpr uint32_t batch = 4096;
    Bytes keys(batch * map.keySize), values(batch * map.valueSize);
    uint32_t position = 0, total = 0, paired = 0;
    bool begun = false;
    for (;;) {
        uint32_t count = batch;
        LIBBPF_OPTS(bpf_map_batch_opts, options);
        int error = bpf_map_lookup_batch(map.fd.get(), begun ? &position : nullptr, &position,
                                         keys.data(), values.data(), &count, &options);
        if (error != 0 && errno != ENOENT) {
            return lastError("count entries");
        }
        total += count;
        for (uint32_t i = 0; alone && i < count; i++) {
            paired += values[i * map.valueSize + *alone] == 0;
        }
        begun = true;
        if (error != 0) {
            return EntryCount{total - paired / 2};
        }
    }
}

Napi::Value toJs(Napi::Env env, EntryCount &&count) {
    return Napi::Number::New(env, count.entries);
}

Result<Done> placeArrays(const Map &outer, uint32_t slot,
                         const std::vector<std::shared_ptr<const Map>> &arrays) {
    std::vector<uint32_t> slots;
    std::vector<int> fds;
    for (const auto &array : arrays) {
        slots.push_back(slot + static_cast<uint32_t>(slots.size()));
        fds.push_back(array->fd.get());
    }
    /* The kernel waits for running programs after each update, but once for all of a batch. */
    uint32_t count = static_cast<uint32_t>(slots.size());
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    if (count > 1 &&
        bpf_map_update_batch(outer.fd.get(), slots.data(), fds.data(), &count, &options) == 0) {
        return Done{};
    }
    /* A kernel that knows no batch of these, or a failure that comes up again. */
    for (size_t i = 0; i < slots.size(); i++) {
        if (bpf_map_update_elem(outer.fd.get(), &slots[i], &fds[i], BPF_ANY) != 0) {
            return lastError("publish inner map");
        }
    }
    return Done{};
}

} // namespace sfunnel
