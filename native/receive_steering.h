/* Which CPUs work on what a device receives (receive packet steering, RPS). */
#pragma once

#include <string>

namespace sfunnel {

/*
 * All CPUs in the namespace of the calling thread, each flow always the same one: so the packets of
 * a flow stay in order that is sent from several CPUs, and one that sends as much as it can has
 * a second CPU work on it. Does nothing where sysfs may not be written to, or the kernel has no
 * RPS.
 */
void steerToAllCpus(const std::string &device, int ifindex);

} // namespace sfunnel
