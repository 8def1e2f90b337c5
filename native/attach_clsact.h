/* Attaches programs as direct-action bpf filters on clsact. */
#pragma once

#include <string>

#include "attachment.h"
#include "load.h"

namespace sfunnel {

struct ClsactPlace {
    int ifindex;
    Direction direction;
    uint32_t priority;
    uint32_t handle;
};

/* A filter at this place gives way; as predecessor it can be put back by revert(). */
Result<AttachmentHandle> attachClsact(const Program &program, const std::string &netns,
                                      const ClsactPlace &place, const Predecessor &predecessor,
                                      bool persist);

/* Removes the filter with this priority and handle, in the namespace of the calling thread. */
Result<Done> detachClsact(const ClsactPlace &place);

} // namespace sfunnel
