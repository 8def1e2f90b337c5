/*
 * What the kernel offers for tcx since 6.6 and the headers of older distributions do not
 * name: this file is the one place that spells it out.
 */
#pragma once

#include <linux/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "args.h"
#include "fd.h"
#include "result.h"

namespace sfunnel {

/* BPF_TCX_INGRESS and BPF_TCX_EGRESS of enum bpf_attach_type. */
int tcxAttachType(Direction direction);

struct TcxEntry {
    uint32_t programId;
    /* 0: attached without a link. */
    uint32_t linkId;
};

/* Counts the changes of a hook: an attach that names it fails with ESTALE after another one. */
Result<uint64_t> queryTcxRevision(int ifindex, Direction direction);

/* What stands on the hook in the order in which it runs; in the calling thread's namespace. */
Result<std::vector<TcxEntry>> queryTcx(int ifindex, Direction direction);

/* How an attach goes about it; without `replaced`, ahead of all or behind all. */
struct TcxPosition {
    bool first;
    /* Descriptor of the program without link whose place it takes; -1 for none. */
    int replaced;
    uint64_t revision;
};

/* Attaches to the device. */
Result<Done> attachTcxProgram(int program, int ifindex, Direction direction,
                              const TcxPosition &position);

/* Attaches by a new link; `replaced` must be -1. */
Result<Fd> createTcxLink(int program, int ifindex, Direction direction,
                         const TcxPosition &position);

/* Removes a program by its id; one that a link holds by detaching the link. */
Result<Done> detachTcx(int ifindex, Direction direction, uint32_t programId);

/* detach gave this because what it was attached to is no more: that is no failure. */
bool isGone(int error);

struct TcxRevision {
    uint64_t number;
};

Napi::Value toJs(Napi::Env env, TcxRevision &&revision);

struct TcxPrograms {
    std::vector<TcxEntry> entries;
};

Napi::Value toJs(Napi::Env env, TcxPrograms &&programs);

} // namespace sfunnel
