/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef SFUNNEL_COUNT_H
#define SFUNNEL_COUNT_H

#include <bpf/bpf_helpers.h>

#include "abi.h"

/*
 * Adds a packet to one entry of a per-CPU array of counters.
 *
 * Not inlined, as everything that hands a place on its stack to a helper: in a large function the
 * compiler lays such a place over a pointer that it has spilled, which the verifier forbids
 * without CAP_PERFMON. So the program is a chain of small functions.
 */
static __noinline void count(void *counters, __u32 index, __u32 bytes) {
    struct sfunnel_counter *counter = bpf_map_lookup_elem(counters, &index);

    if (counter) {
        counter->packets++;
        counter->bytes += bytes;
    }
}

#endif
