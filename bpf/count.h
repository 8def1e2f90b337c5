/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef SFUNNEL_COUNT_H
#define SFUNNEL_COUNT_H

#include <bpf/bpf_helpers.h>

#include "abi.h"

/* Adds a packet to one entry of a per-CPU array of counters. */
static __always_inline void count(void *counters, __u32 index, __u32 bytes) {
    struct sfunnel_counter *counter = bpf_map_lookup_elem(counters, &index);

    if (counter) {
        counter->packets++;
        counter->bytes += bytes;
    }
}

#endif
