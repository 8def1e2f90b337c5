/* What the ethtool ioctl knows of a device; in the namespace of the calling thread. */
#pragma once

#include <string>

#include "result.h"

namespace sfunnel {

/* By the name of a feature, as `ethtool -k` without the kernel's aliases shows it. */
using IsUnwanted = bool (*)(const std::string &feature);

/* Whether one of them is on that can be turned off. */
Result<bool> hasOffloads(const std::string &device, IsUnwanted isUnwanted);

Result<Done> turnOffloadsOff(const std::string &device, IsUnwanted isUnwanted);

/* Returns when the kernel has done all that follows from the carrier of a device that came up. */
Result<Done> settleCarrier(const std::string &device);

} // namespace sfunnel
