/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A search from the first rule to the last, to compare ours with. IPv4, one prefix and one range of
 * ports a side: less than our rules say, so a look at one of them costs less too.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "flows.h"

/* Rules between two calls: a call costs more than a rule. */
#define RULES_OF_PART 64

/* A packet that it matches shows these bits. Addresses in network order, ports in host order. */
struct linear_rule {
    __u32 saddr;
    __u32 saddr_mask;
    __u32 daddr;
    __u32 daddr_mask;
    __u16 sport_first;
    __u16 sport_last;
    __u16 dport_first;
    __u16 dport_last;
    __u32 transport;
};

struct linear_part {
    struct linear_rule rules[RULES_OF_PART];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct linear_part);
} parts SEC(".maps");

const volatile __u32 rule_count = 0;

struct linear_search {
    __u32 saddr;
    __u32 daddr;
    __u32 sport;
    __u32 dport;
    __u32 transport;
    __u32 found; /* index + 1; 0: none so far */
};

static __always_inline bool matches(const struct linear_rule *rule,
                                    const struct linear_search *search) {
    return (search->saddr & rule->saddr_mask) == rule->saddr &&
           (search->daddr & rule->daddr_mask) == rule->daddr &&
           rule->transport == search->transport && rule->dport_first <= search->dport &&
           search->dport <= rule->dport_last && rule->sport_first <= search->sport &&
           search->sport <= rule->sport_last;
}

static long search_part(__u32 number, struct linear_search *search) {
    const struct linear_part *part = bpf_map_lookup_elem(&parts, &number);
    __u32 before = number * RULES_OF_PART;

    if (!part)
        return 1;
#pragma unroll
    for (int rule = 0; rule < RULES_OF_PART; rule++) {
        if (before + rule >= rule_count)
            return 1;
        if (matches(&part->rules[rule], search)) {
            search->found = before + rule + 1;
            return 1;
        }
    }
    return 0;
}

static __always_inline __u32 find_rule(const struct sfunnel_flow *flow) {
    struct linear_search search = {
        .saddr = flow->saddr[3],
        .daddr = flow->daddr[3],
        .sport = flow->sport,
        .dport = flow->dport,
        .transport = flow->transport,
    };

    bpf_loop((rule_count + RULES_OF_PART - 1) / RULES_OF_PART, search_part, &search, 0);
    return search.found;
}

#include "search-alone.h"
