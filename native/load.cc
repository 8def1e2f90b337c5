#include "load.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <cstring>

#include "libbpf_log.h"

namespace sfunnel {
namespace {

struct CloseObject {
    void operator()(bpf_object *object) const {
        bpf_object__close(object);
    }
};

using OpenObject = std::unique_ptr<bpf_object, CloseObject>;

constexpr std::array<const char *, 3> programNames = {"sfunnel_ingress", "sfunnel_egress",
                                                      "sfunnel_return"};
/* An object need not have more than these. */
constexpr size_t neededPrograms = 2;

/* libbpf has numbers of its own from 4000 on, most of which say that the file is no good. */
int systemError(int error) {
    return error >= __LIBBPF_ERRNO__START ? ENOEXEC : error;
}

/* Where libbpf keeps a section's variables before the load, e.g. ".rodata". */
struct Section {
    void *bytes = nullptr;
    size_t size = 0;
};

Section findSection(bpf_object *object, const char *name) {
    bpf_map *map;
    bpf_object__for_each_map(map, object) {
        const char *mapName = bpf_map__name(map);
        size_t length = std::strlen(name), mapLength = std::strlen(mapName);
        if (mapLength >= length && std::strcmp(mapName + mapLength - length, name) == 0) {
            Section section;
            section.bytes = const_cast<void *>(bpf_map__initial_value(map, &section.size));
            return section;
        }
    }
    return {};
}

/* BTF knows where in .rodata a variable lies. */
Result<Done> setConstant(bpf_object *object, const std::string &name, uint32_t value) {
    std::string step = "set constant " + name;
    const btf *types = bpf_object__btf(object);
    int id =
        types == nullptr ? -ENOENT : btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC);
    Section section = findSection(object, ".rodata");
    if (id < 0 || section.bytes == nullptr) {
        return Failure{ENOENT, std::move(step)};
    }
    const btf_type *list = btf__type_by_id(types, static_cast<uint32_t>(id));
    const btf_var_secinfo *variable = btf_var_secinfos(list);
    for (int i = 0; i < btf_vlen(list); i++, variable++) {
        const btf_type *type = btf__type_by_id(types, variable->type);
        if (name != btf__name_by_offset(types, type->name_off)) {
            continue;
        }
        if (variable->offset > section.size || variable->size > section.size - variable->offset) {
            return Failure{EINVAL, std::move(step)};
        }
        uint8_t narrow = static_cast<uint8_t>(value);
        uint8_t *place = static_cast<uint8_t *>(section.bytes) + variable->offset;
        if (variable->size == sizeof(narrow)) {
            std::memcpy(place, &narrow, sizeof(narrow));
        } else if (variable->size == sizeof(value)) {
            std::memcpy(place, &value, sizeof(value));
        } else {
            return Failure{EINVAL, std::move(step)};
        }
        return Done{};
    }
    return Failure{ENOENT, std::move(step)};
}

Result<Done> configure(bpf_object *object, const Limits &limits, const Constants &constants) {
    bpf_map *map;
    bpf_object__for_each_map(map, object) {
        /* A shared bpffs is not ours to write to, whatever the object asks for. */
        int error = bpf_map__set_pin_path(map, nullptr);
        if (error != 0) {
            return Failure{-error, "unpin map"};
        }
    }
    for (const auto &[name, maxEntries] : limits) {
        std::string step = "set size of map " + name;
        bpf_map *limited = bpf_object__find_map_by_name(object, name.c_str());
        if (limited == nullptr) {
            return Failure{ENOENT, std::move(step)};
        }
        int error = bpf_map__set_max_entries(limited, maxEntries);
        if (error != 0) {
            return Failure{-error, std::move(step)};
        }
    }
    for (const auto &[name, value] : constants) {
        Result<Done> step = setConstant(object, name, value);
        if (failed(step)) {
            return step;
        }
    }
    for (size_t i = 0; i < neededPrograms; i++) {
        if (bpf_object__find_program_by_name(object, programNames[i]) == nullptr) {
            return Failure{ENOENT, std::string("find program ") + programNames[i]};
        }
    }
    return Done{};
}

Result<Done> takeMaps(bpf_object *object, Loaded &loaded) {
    bpf_map *map;
    bpf_object__for_each_map(map, object) {
        Map taken{Fd::duplicate(bpf_map__fd(map)), bpf_map__type(map), bpf_map__key_size(map),
                  entrySize(bpf_map__type(map), bpf_map__value_size(map)),
                  bpf_map__max_entries(map)};
        if (!taken.fd.valid()) {
            return lastError(std::string("keep map ") + bpf_map__name(map));
        }
        loaded.maps.emplace(bpf_map__name(map), std::move(taken));
    }
    return Done{};
}

Result<Done> takePrograms(bpf_object *object, Loaded &loaded) {
    for (size_t i = 0; i < programNames.size(); i++) {
        Program &program = loaded.programs[i];
        const bpf_program *found = bpf_object__find_program_by_name(object, programNames[i]);
        if (found == nullptr) {
            continue;
        }
        int fd = bpf_program__fd(found);
        program.fd = Fd::duplicate(fd);
        if (!program.fd.valid()) {
            return lastError(std::string("keep program ") + programNames[i]);
        }
        struct bpf_prog_info info = {};
        uint32_t length = sizeof(info);
        if (bpf_obj_get_info_by_fd(fd, &info, &length) != 0) {
            return lastError("ask for the id of a program");
        }
        program.id = info.id;
    }
    return Done{};
}

/*
 * Only the maps that its instructions name stay with a program. The others are for whoever
 * finds it on a hook when this process has gone, so they are bound to it (5.10). Not to the one at
 * the segmenter: whoever leaves that behind is to keep nothing else alive.
 */
Result<Done> bindMaps(bpf_object *, Loaded &loaded) {
    for (Direction direction : {Direction::ingress, Direction::egress}) {
        const Program &program = loaded.program(direction);
        for (const auto &[name, map] : loaded.maps) {
            if (bpf_prog_bind_map(program.fd.get(), map.fd.get(), nullptr) != 0) {
                return lastError("bind map " + name);
            }
        }
    }
    return Done{};
}

Result<std::shared_ptr<const Loaded>> loadQuietly(const Bytes &bytes, const Limits &limits,
                                                  const Constants &constants) {
    if (libbpf_num_possible_cpus() < 1) {
        return Failure{ENOTSUP, "count possible CPUs"};
    }
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "sfunnel");
    OpenObject object(bpf_object__open_mem(bytes.data(), bytes.size(), &options));
    if (!object) {
        return Failure{systemError(errno), "open object"};
    }
    Result<Done> step = configure(object.get(), limits, constants);
    if (failed(step)) {
        return std::move(failure(step));
    }
    /*
     * Where the verifier says no, libbpf loads again with a log buffer by itself and prints
     * what it got, so that a program that is accepted costs no log.
     */
    int error = bpf_object__load(object.get());
    if (error != 0) {
        return Failure{systemError(-error), "load"};
    }
    auto loaded = std::make_shared<Loaded>();
    for (auto take : {takeMaps, takePrograms, bindMaps}) {
        step = take(object.get(), *loaded);
        if (failed(step)) {
            return std::move(failure(step));
        }
    }
    return std::shared_ptr<const Loaded>(std::move(loaded));
}

} // namespace

const Map *Loaded::map(const std::string &name) const {
    auto found = maps.find(name);
    return found == maps.end() ? nullptr : &found->second;
}

const Program &Loaded::program(Direction direction) const {
    return programs[static_cast<size_t>(direction)];
}

const Program &Loaded::program(ProgramKind kind) const {
    return programs[static_cast<size_t>(kind)];
}

size_t entrySize(uint32_t mapType, uint32_t valueSize) {
    switch (mapType) {
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
    case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE: {
        int cpus = libbpf_num_possible_cpus();
        return (static_cast<size_t>(valueSize) + 7) / 8 * 8 * static_cast<size_t>(cpus);
    }
    default:
        return valueSize;
    }
}

Result<std::shared_ptr<const Loaded>> load(const Bytes &bytes, const Limits &limits,
                                           const Constants &constants) {
    LibbpfLog log;
    auto loaded = loadQuietly(bytes, limits, constants);
    if (failed(loaded)) {
        failure(loaded).log = log.take();
    }
    return loaded;
}

} // namespace sfunnel
