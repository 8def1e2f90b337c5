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
#include "result.h"

namespace sfunnel {

/* BPF_TCX_INGRESS and BPF_TCX_EGRESS of enum bpf_attach_type. */
int tcxAttachType(Direction direction);

/* Flags of an attach: ahead of all, behind all (both without a relative), in place of one. */
constexpr uint32_t tcxBefore = 1U << 3;
constexpr uint32_t tcxAfter = 1U << 4;
constexpr uint32_t tcxReplace = 1U << 2;

struct TcxEntry {
    uint32_t programId;
    /* 0: attached without a link. */
    uint32_t linkId;
};

/* What stands on the hook in the order in which it runs; in the calling thread's namespace. */
Result<std::vector<TcxEntry>> queryTcx(int ifindex, Direction direction);

/* Removes a program by its id; one that a link holds by detaching the link. */
Result<Done> detachTcx(int ifindex, Direction direction, uint32_t programId);

/* detach gave this because what it was attached to is no more: that is no failure. */
bool isGone(int error);

struct TcxPrograms {
    std::vector<TcxEntry> entries;
};

Napi::Value toJs(Napi::Env env, TcxPrograms &&programs);

} // namespace sfunnel
