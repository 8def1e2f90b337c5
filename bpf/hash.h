/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The hash that spreads flows over ports. lib/model computes the same. */
#ifndef SFUNNEL_HASH_H
#define SFUNNEL_HASH_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

static __always_inline __u32 flow_hash_word(__u32 hash, __u32 word) {
    hash = (hash ^ word) * 0x85ebca6bU;
    return hash ^ (hash >> 15);
}

static __always_inline __u32 flow_hash(const struct sfunnel_flow *flow) {
    __u32 hash = 0x9e3779b9U;

#pragma unroll
    for (int word = 0; word < 4; word++)
        hash = flow_hash_word(hash, bpf_ntohl(flow->saddr[word]));
#pragma unroll
    for (int word = 0; word < 4; word++)
        hash = flow_hash_word(hash, bpf_ntohl(flow->daddr[word]));
    hash = flow_hash_word(hash, (__u32)flow->sport << 16 | flow->dport);
    return flow_hash_word(hash, flow->transport);
}

#endif
