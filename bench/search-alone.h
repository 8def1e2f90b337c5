/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The programs of a search that is measured alone, for many flows; the names are those that the
 * addon loads. Whoever includes it has said what `find_rule(flow)` is: index + 1 of the first rule
 * that matches, 0 where none does.
 */
#ifndef BENCH_SEARCH_ALONE_H
#define BENCH_SEARCH_ALONE_H

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "flows.h"

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

#endif
