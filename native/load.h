/* Loads the object: from the bytes of an ELF file to descriptors of maps and programs. */
#pragma once

#include <bpf/bpf.h>

#include <array>
#include <map>
#include <memory>
#include <string>

#include "args.h"
#include "fd.h"
#include "result.h"

namespace sfunnel {

struct Map {
    Fd fd;
    enum bpf_map_type type;
    uint32_t keySize;
    /* Of one entry as bpf(2) reads and writes it: for a per-CPU map, of all CPUs together. */
    size_t valueSize;
    uint32_t maxEntries;
};

struct Program {
    Fd fd;
    uint32_t id;
};

/* The programs of an object: one for each direction, one for the far end of a segmenter. */
enum class ProgramKind : uint8_t { ingress = 0, egress = 1, segmenter = 2 };

/*
 * A loaded object, never changed once made: any thread may use it. Shared by the JavaScript
 * object and the work under way; the descriptors go with the last of them.
 */
struct Loaded {
    std::map<std::string, Map> maps;
    /* By ProgramKind. The last one is not valid where the object has none. */
    std::array<Program, 3> programs;

    const Map *map(const std::string &name) const;
    const Program &program(Direction direction) const;
    const Program &program(ProgramKind kind) const;
};

/* max_entries of maps, by name. */
using Limits = std::map<std::string, uint32_t>;

/* Values of `const volatile` variables of the program, by name. */
using Constants = std::map<std::string, uint32_t>;

Result<std::shared_ptr<const Loaded>> load(const Bytes &object, const Limits &limits,
                                           const Constants &constants);

/* Bytes of one entry in bpf(2), where a per-CPU map has a value a CPU, each padded to 8. */
size_t entrySize(uint32_t mapType, uint32_t valueSize);

} // namespace sfunnel
