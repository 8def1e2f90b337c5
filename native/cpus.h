/* Of the CPUs that the kernel may ever have. */
#pragma once

#include <cstdint>

namespace sfunnel {

/*
 * One more than the highest number that a program may see as its CPU. Where numbers are left out it
 * is more than there are CPUs. Where the kernel does not say, as many as libbpf finds; 0: none.
 */
uint32_t cpuNumbers();

} // namespace sfunnel
