/* Attaches programs with tcx (6.6): by link or to the device. */
#pragma once

#include <string>

#include "attachment.h"
#include "load.h"

namespace sfunnel {

struct TcxPlace {
    int ifindex;
    Direction direction;
    /* Ahead of what is there, else behind it. */
    bool first;
    /* By a link, which goes with its last descriptor; else it stays with the device. */
    bool link;
    /* Id of a program without link that gives way in the same step; 0 for none. */
    uint32_t replace;
};

Result<AttachmentHandle> attachTcx(const Program &program, const std::string &netns,
                                   const TcxPlace &place);

} // namespace sfunnel
