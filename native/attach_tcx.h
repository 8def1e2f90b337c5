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
    /* The hook must be at this revision (see queryTcxRevision); 0 for any. */
    uint64_t revision;
};

/*
 * A predecessor gives way in the same step, its position kept. Fails with EBUSY where it is held
 * by a link and this is not to be, or the other way round; with ENOENT or ESTALE where it, or
 * the hook, is not what it was.
 */
Result<AttachmentHandle> attachTcx(const Program &program, const std::string &netns,
                                   const TcxPlace &place, const Predecessor &predecessor);

} // namespace sfunnel
