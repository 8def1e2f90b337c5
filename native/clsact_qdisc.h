/*
 * The qdisc "clsact" that filters stand on: made where there is none, and taken away again
 * by us alone. All in the namespace of the calling thread.
 */
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <memory>
#include <mutex>

#include "args.h"
#include "result.h"

namespace sfunnel {

bpf_tc_hook clsactHook(int ifindex, Direction direction);

/* Makes the qdisc unless it is there. The value: whether this call made it. */
Result<bool> ensureClsact(int ifindex, Direction direction);

/* Does nothing where a filter is left in either direction, whosesoever it is. */
Result<Done> destroyClsactIfEmpty(int ifindex);

/* Held by each attachment on a qdisc that this process made: the last to go takes it along. */
class MadeQdisc {};

/* The token for a device, to be asked for with clsactMutex() held; null where somebody else made
 * its qdisc. */
std::shared_ptr<MadeQdisc> madeQdisc(uint64_t netnsInode, int ifindex, bool justMade);

/* Held to make, fill and empty a qdisc, so that no call takes one away under another. */
std::mutex &clsactMutex();

} // namespace sfunnel
