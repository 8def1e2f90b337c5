#include "cpus.h"

#include <bpf/libbpf.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace sfunnel {

uint32_t cpuNumbers() {
    std::ifstream file("/sys/devices/system/cpu/possible");
    std::string ranges;
    if (std::getline(file, ranges)) {
        /* Such as "0-3,8-11": the last number is the highest. */
        size_t last = ranges.find_last_of("-,") + 1;
        char *end = nullptr;
        unsigned long highest = std::strtoul(ranges.c_str() + last, &end, 10);
        if (end != ranges.c_str() + last) {
            return static_cast<uint32_t>(highest) + 1;
        }
    }
    int cpus = libbpf_num_possible_cpus();
    return cpus < 0 ? 0 : static_cast<uint32_t>(cpus);
}

} // namespace sfunnel
