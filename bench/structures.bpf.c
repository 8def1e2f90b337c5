/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Searches in other structures than ours. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "flows.h"
#include "structures.h"

enum structure {
    TUPLES,
    TRIE,
    BITS,
};

/* Which one. */
const volatile __u32 structure = TUPLES;

static __always_inline __u32 find_rule(const struct sfunnel_flow *flow) {
    switch (structure) {
    case TUPLES:
        return find_in_tuples(flow);
    case TRIE:
        return find_in_trie(flow);
    default:
        return find_in_bits();
    }
}

#include "search-alone.h"
