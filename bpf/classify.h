/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which rule is this packet about? The first one whose match holds. */
#ifndef SFUNNEL_CLASSIFY_H
#define SFUNNEL_CLASSIFY_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"

/*
 * bpf_loop came with 5.17. Its body is verified once instead of once a round, which takes the
 * load from a second to milliseconds. Kernels before 5.13 refuse even dead code that takes the
 * address of a function, so for them the same source is compiled a second time without it.
 */
#ifdef SFUNNEL_WITHOUT_LOOP_HELPER
#define HAS_LOOP_HELPER 0
#else
#define HAS_LOOP_HELPER 1
#endif

#define SET_NUMBER_BITS 32
#define ADDRESS_BITS 128
#define PORT_BITS 16

static __always_inline bool set_holds_address(__u32 set, const __u32 *address) {
    struct sfunnel_set_key key = {.prefix_length = SET_NUMBER_BITS + ADDRESS_BITS, .set = set};

    __builtin_memcpy(key.member, address, sizeof(key.member));
    return bpf_map_lookup_elem(&sets, &key) != NULL;
}

static __always_inline bool set_holds_port(__u32 set, __u16 port) {
    struct sfunnel_set_key key = {.prefix_length = SET_NUMBER_BITS + PORT_BITS, .set = set};

    key.member[0] = port >> 8;
    key.member[1] = port & 0xff;
    return bpf_map_lookup_elem(&sets, &key) != NULL;
}

static __always_inline bool address_matches(const struct sfunnel_address_match *match,
                                            const __u32 *address) {
    bool inside;

    if (match->set)
        inside = set_holds_address(match->set, address);
    else
        inside = !(((address[0] ^ match->value[0]) & match->mask[0]) |
                   ((address[1] ^ match->value[1]) & match->mask[1]) |
                   ((address[2] ^ match->value[2]) & match->mask[2]) |
                   ((address[3] ^ match->value[3]) & match->mask[3]));
    return inside != !!match->negate;
}

static __always_inline bool port_inside(const struct sfunnel_port_match *match, __u16 port) {
    if (match->set)
        return set_holds_port(match->set, port);
    return match->first <= port && port <= match->last;
}

static __always_inline bool port_matches(const struct sfunnel_port_match *match, __u16 port) {
    return port_inside(match, port) != !!match->negate;
}

/* `port` means either of the two; negated, neither. */
static __always_inline bool either_port_matches(const struct sfunnel_port_match *match,
                                                const struct sfunnel_flow *flow) {
    bool inside = port_inside(match, flow->sport) || port_inside(match, flow->dport);

    return inside != !!match->negate;
}

static __always_inline bool rule_matches(const struct sfunnel_rule *rule,
                                         const struct sfunnel_flow *flow) {
    return rule->transport == flow->transport && (rule->families & flow->family) &&
           port_matches(&rule->dport, flow->dport) && port_matches(&rule->sport, flow->sport) &&
           either_port_matches(&rule->port, flow) && address_matches(&rule->daddr, flow->daddr) &&
           address_matches(&rule->saddr, flow->saddr);
}

#define NO_RULE SFUNNEL_MAX_RULES

struct search {
    const struct sfunnel_flow *flow;
    void *rules; /* the list in force when the packet came; it is never changed */
    __u32 index; /* of the first rule that matched */
};

/* One step of the search; 1 ends it. */
static long try_rule(__u32 index, struct search *search) {
    struct sfunnel_rule *rule = bpf_map_lookup_elem(search->rules, &index);

    if (!rule || rule->kind == SFUNNEL_END)
        return 1;
    if (!rule_matches(rule, search->flow))
        return 0;
    search->index = index;
    return 1;
}

static __always_inline struct sfunnel_rule *classify(const struct sfunnel_flow *flow, __u32 list,
                                                     __u32 *rule_index) {
    struct search search = {.flow = flow, .index = NO_RULE};

    search.rules = bpf_map_lookup_elem(&rulesets, &list);
    if (!search.rules)
        return NULL;

    if (HAS_LOOP_HELPER) {
        bpf_loop(SFUNNEL_MAX_RULES, try_rule, &search, 0);
    } else {
        for (__u32 index = 0; index < SFUNNEL_MAX_RULES; index++)
            if (try_rule(index, &search))
                break;
    }
    if (search.index == NO_RULE)
        return NULL;
    *rule_index = search.index;
    return bpf_map_lookup_elem(search.rules, &search.index);
}

#endif
