/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Counters, one a CPU.
 *
 * Not inlined, as everything that hands a place on its stack to a helper: in a large function the
 * compiler lays such a place over a pointer that it has spilled, which the verifier forbids
 * without CAP_PERFMON. So the program is a chain of small functions. One for each map, because
 * the kernel makes a look-up part of the program only where it knows the map (6.10).
 */
#ifndef SFUNNEL_COUNT_H
#define SFUNNEL_COUNT_H

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"

static __always_inline void add_to(struct sfunnel_counter *counter, __u32 bytes) {
    if (counter) {
        counter->packets++;
        counter->bytes += bytes;
    }
}

static __always_inline void count_rule(__u32 counter, __u32 bytes) {
    void *page = look_up(&rule_counters, counter / SFUNNEL_COUNTER_PAGE);
    __u32 of_cpu = bpf_get_smp_processor_id() * SFUNNEL_COUNTER_PAGE;

    if (page)
        add_to(look_up(page, of_cpu + counter % SFUNNEL_COUNTER_PAGE), bytes);
}

static __always_inline void count_outcome(__u32 index, __u32 bytes) {
    add_to(look_up(&outcome_counters, index), bytes);
}

static __always_inline void count_stray(__u32 bytes) {
    add_to(look_up(&segmenter_strays, 0), bytes);
}

static __noinline void count_event(__u32 event) {
    add_to(look_up(&flow_counters, event), 0);
}

#endif
