/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which rule is this packet about? The first one whose match holds. The list that is in force when
 * a packet comes is never changed while the packet is here.
 */
#ifndef SFUNNEL_CLASSIFY_H
#define SFUNNEL_CLASSIFY_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "loop.h"
#include "maps.h"

#define SET_NUMBER_BITS 32
#define ADDRESS_BITS 128
#define PORT_BITS 16

/* Written in words: see struct packet about stores into a part of a stack slot. */
union set_key {
    struct sfunnel_set_key key;
    __u64 words[3];
};

_Static_assert(sizeof(union set_key) == sizeof(struct sfunnel_set_key), "words of a set's key");

static __always_inline __u64 set_key_start(__u32 set, __u32 member_bits) {
    return (__u64)set << 32 | (SET_NUMBER_BITS + member_bits);
}

static __always_inline bool set_holds_address(__u32 set, const __u32 *address) {
    union set_key key = {.words = {set_key_start(set, ADDRESS_BITS)}};
    const flow_word *words = (const flow_word *)address;

    key.words[1] = words[0];
    key.words[2] = words[1];
    return bpf_map_lookup_elem(&sets, &key.key) != NULL;
}

static __always_inline bool set_holds_port(__u32 set, __u16 port) {
    union set_key key = {.words = {set_key_start(set, PORT_BITS), bpf_htons(port), 0}};

    return bpf_map_lookup_elem(&sets, &key.key) != NULL;
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
           (flow->form == SFUNNEL_PLAIN || flow->form != rule->passes_over) &&
           port_matches(&rule->dport, flow->dport) && port_matches(&rule->sport, flow->sport) &&
           either_port_matches(&rule->port, flow) && address_matches(&rule->daddr, flow->daddr) &&
           address_matches(&rule->saddr, flow->saddr);
}

#define NO_RULE SFUNNEL_MAX_RULES

#if HAS_LOOP_HELPER

struct search {
    const struct sfunnel_flow *flow;
    void *rules;
    __u64 index; /* of the first rule that matched */
};

/* One step of the search; 1 ends it. */
static long try_rule(__u32 index, struct search *search) {
    struct sfunnel_rule *rule = look_up(search->rules, index);

    if (!rule || rule->kind == SFUNNEL_END)
        return 1;
    if (!rule_matches(rule, search->flow))
        return 0;
    search->index = index;
    return 1;
}

static __always_inline __u32 find_rule(const struct sfunnel_flow *flow, __u32 list, void *rules) {
    struct search search = {.flow = flow, .rules = rules, .index = NO_RULE};

    (void)list;
    bpf_loop(SFUNNEL_MAX_RULES, try_rule, &search, 0);
    return search.index;
}

#else

/* The flow that is looked at: before 5.12 a global function takes numbers alone. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sfunnel_flow);
} searched_flow SEC(".maps");

/*
 * 1: the rule matches, 0: it does not, -1: there are no more. Global, so that the verifier looks
 * at it once and not once a round.
 */
__noinline int try_rule(__u32 list, __u32 index) {
    struct sfunnel_flow *flow = look_up(&searched_flow, 0);
    void *rules = look_up(&rulesets, list);
    struct sfunnel_rule *rule;

    if (!flow || !rules)
        return -1;
    rule = look_up(rules, index);
    if (!rule || rule->kind == SFUNNEL_END)
        return -1;
    return rule_matches(rule, flow);
}

static __always_inline __u32 find_rule(const struct sfunnel_flow *flow, __u32 list, void *rules) {
    __u64 zero = 0;

    (void)rules;
    if (bpf_map_update_elem(&searched_flow, &zero, flow, BPF_ANY))
        return NO_RULE;
        /* Without CAP_PERFMON the verifier follows a loop beyond its end, as a CPU may speculate.
         */
#pragma unroll
    for (__u32 index = 0; index < SFUNNEL_MAX_RULES; index++) {
        int answer = try_rule(list, index);

        if (answer)
            return answer == 1 ? index : NO_RULE;
    }
    return NO_RULE;
}

#endif

static __always_inline __u32 list_in_force(const struct packet *packet, __u32 generation) {
    return generation % SFUNNEL_SLOTS * SFUNNEL_DIRECTIONS + packet->direction;
}

#endif
