/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Searches in other structures than ours, for many flows. The names are those that the addon loads.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
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

static long search_next(__u32 number, struct walk **place) {
    struct walk *walk = *place;
    const struct sfunnel_flow *flow = next_flow(walk);

    (void)number;
    if (!flow)
        return 1;
    note_answer(walk, find_rule(flow));
    return 0;
}

/* The search alone, for the next flows. */
SEC("tc")
int sfunnel_ingress(struct __sk_buff *skb __attribute__((unused))) {
    struct walk *walk = walk_under_way();

    if (!walk)
        return TC_ACT_SHOT;
    bpf_loop(flows_of_run, search_next, &walk, 0);
    return TC_ACT_UNSPEC;
}

/* The addon wants it. */
SEC("tc")
int sfunnel_egress(struct __sk_buff *skb __attribute__((unused))) {
    return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
