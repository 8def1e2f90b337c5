/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which rule is this packet about? The first one whose match holds. The list that is in force when
 * a packet comes, and the index by which it is searched, are never changed while the packet is
 * here.
 */
#ifndef SFUNNEL_CLASSIFY_H
#define SFUNNEL_CLASSIFY_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "loop.h"
#include "maps.h"
#include "packet.h"

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

/* So many bits from the left, 1 to 64. */
static __always_inline __u64 first_bits(__u32 length) {
    return ~0ULL << (64 - length);
}

static __always_inline bool prefix_holds(const __u32 *prefix, __u32 length, const __u32 *address) {
    const flow_word *wanted = (const flow_word *)prefix, *there = (const flow_word *)address;
    __u64 upper = bpf_be64_to_cpu(wanted[0] ^ there[0]);
    __u64 lower = bpf_be64_to_cpu(wanted[1] ^ there[1]);

    if (length > 64)
        return !upper && !(lower & first_bits(length - 64));
    return !length || !(upper & first_bits(length));
}

/* All of them, without a branch: a CPU guesses wrong at ports of all kinds. */
static __always_inline bool ranges_hold(const struct sfunnel_port_range *ranges, __s64 port) {
    __s64 outside = -1;

#pragma unroll
    for (int range = 0; range < SFUNNEL_RULE_RANGES; range++)
        outside &= (port - ranges[range].first) | (ranges[range].last - port);
    return outside >= 0;
}

static __always_inline bool has(__u8 fields, enum sfunnel_match_field field) {
    return fields & 1 << field;
}

static __always_inline bool in_set(const struct sfunnel_rule *rule,
                                   enum sfunnel_match_field field) {
    return has(rule->in_set, field);
}

static __always_inline bool matches_if(const struct sfunnel_rule *rule,
                                       enum sfunnel_match_field field, bool holds) {
    return holds != has(rule->negated, field);
}

static __always_inline bool saddr_may_match(const struct sfunnel_rule *rule, const __u32 *saddr) {
    return in_set(rule, SFUNNEL_MATCH_SADDR) ||
           matches_if(rule, SFUNNEL_MATCH_SADDR,
                      prefix_holds(rule->saddr, rule->saddr_length, saddr));
}

static __always_inline bool daddr_may_match(const struct sfunnel_rule *rule, const __u32 *daddr) {
    return in_set(rule, SFUNNEL_MATCH_DADDR) ||
           matches_if(rule, SFUNNEL_MATCH_DADDR,
                      prefix_holds(rule->daddr, rule->daddr_length, daddr));
}

static __always_inline bool sport_may_match(const struct sfunnel_rule *rule, __u16 sport) {
    return in_set(rule, SFUNNEL_MATCH_SPORT) ||
           matches_if(rule, SFUNNEL_MATCH_SPORT, ranges_hold(rule->sport, sport));
}

static __always_inline bool dport_may_match(const struct sfunnel_rule *rule, __u16 dport) {
    return in_set(rule, SFUNNEL_MATCH_DPORT) ||
           matches_if(rule, SFUNNEL_MATCH_DPORT, ranges_hold(rule->dport, dport));
}

/* `port` means either of the two; negated, neither. */
static __always_inline bool port_may_match(const struct sfunnel_rule *rule,
                                           const struct sfunnel_flow *flow) {
    return in_set(rule, SFUNNEL_MATCH_PORT) ||
           matches_if(rule, SFUNNEL_MATCH_PORT,
                      ranges_hold(rule->port, flow->sport) || ranges_hold(rule->port, flow->dport));
}

static __always_inline bool set_of_addresses_matches(const struct sfunnel_rule *rule,
                                                     enum sfunnel_match_field field,
                                                     const __u32 *address) {
    return !in_set(rule, field) ||
           matches_if(rule, field, set_holds_address(rule->sets[field], address));
}

static __always_inline bool set_of_ports_matches(const struct sfunnel_rule *rule,
                                                 enum sfunnel_match_field field, __u16 port,
                                                 __u16 or_port) {
    __u32 set = rule->sets[field];

    return !in_set(rule, field) ||
           matches_if(rule, field, set_holds_port(set, port) || set_holds_port(set, or_port));
}

static __always_inline bool sets_match(const struct sfunnel_rule *rule,
                                       const struct sfunnel_flow *flow) {
    return set_of_addresses_matches(rule, SFUNNEL_MATCH_SADDR, flow->saddr) &&
           set_of_addresses_matches(rule, SFUNNEL_MATCH_DADDR, flow->daddr) &&
           set_of_ports_matches(rule, SFUNNEL_MATCH_SPORT, flow->sport, flow->sport) &&
           set_of_ports_matches(rule, SFUNNEL_MATCH_DPORT, flow->dport, flow->dport) &&
           set_of_ports_matches(rule, SFUNNEL_MATCH_PORT, flow->sport, flow->dport);
}

/* What needs no look into a set comes first: it decides nearly always. */
static __always_inline bool rule_matches(const struct sfunnel_rule *rule,
                                         const struct sfunnel_flow *flow) {
    return rule->transport == flow->transport && (rule->families & flow->family) &&
           (flow->form == SFUNNEL_PLAIN || flow->form != rule->passes_over) &&
           saddr_may_match(rule, flow->saddr) && daddr_may_match(rule, flow->daddr) &&
           dport_may_match(rule, flow->dport) && sport_may_match(rule, flow->sport) &&
           port_may_match(rule, flow) && (!rule->in_set || sets_match(rule, flow));
}

/* Whether the destination port of an inner flow may pass an unfunnel rule. */
static __always_inline bool rule_allows(const struct sfunnel_rule *rule, __u16 dport) {
    return in_set(rule, SFUNNEL_MATCH_ALLOW)
               ? set_holds_port(rule->sets[SFUNNEL_MATCH_ALLOW], dport)
               : ranges_hold(rule->allow, dport);
}

static __always_inline __u64 masked(__u32 word, __u32 mask, __u32 multiplier) {
    return (__u64)(word & mask) * multiplier;
}

/*
 * Of the bits that a table looks at; lib/compile computes the same. The sum depends on all bits of
 * each word, and what follows brings that to all bits of the hash.
 */
static __always_inline __u32 search_hash(const struct sfunnel_flow *flow,
                                         const struct sfunnel_search_table *table) {
    __u64 sum = masked((__u32)flow->sport << 16 | flow->dport, table->ports_mask, 0x27d4eb2fU);
    __u32 hash;

    sum += masked(flow->saddr[0], table->saddr_mask[0], 0x9e3779b1U);
    sum += masked(flow->saddr[1], table->saddr_mask[1], 0x85ebca77U);
    sum += masked(flow->saddr[2], table->saddr_mask[2], 0xc2b2ae3dU);
    sum += masked(flow->saddr[3], table->saddr_mask[3], 0x165667b1U);
    sum += masked(flow->daddr[0], table->daddr_mask[0], 0xd3a2646dU);
    sum += masked(flow->daddr[1], table->daddr_mask[1], 0xfd7046c5U);
    sum += masked(flow->daddr[2], table->daddr_mask[2], 0xb55a4f09U);
    sum += masked(flow->daddr[3], table->daddr_mask[3], 0x5851f42dU);
    hash = sum;
    hash ^= hash >> 15;
    hash *= 0x2c1b3c6dU;
    return hash ^ hash >> 12;
}

/* Whether a rule of a list matches the packet under way. */
VERIFIED_ONCE int holds(__u32 list, __u32 number) {
    const struct packet *packet = packet_under_way();
    void *rules = look_up(&rulesets, list);
    const struct sfunnel_rule *rule;

    if (!packet || !rules)
        return 0;
    rule = look_up(rules, number);
    return rule && rule_matches(rule, &packet->flow);
}

/* A search under way. Whole slots of the stack: see struct packet. */
struct search {
    __u64 list;
    __u64 next;  /* cell, and whether it is a table */
    __u64 hash;  /* of the table that was met last */
    __u64 found; /* the first rule so far that matches */
};

/* Looks into one bucket, or past one table; 1: the search is over. */
static __always_inline int search_step(struct search *search, void *index,
                                       const struct sfunnel_flow *flow) {
    const struct sfunnel_search_bucket *bucket;
    __u32 cell = search->next, rule;

    if (cell & SFUNNEL_SEARCH_TABLE) {
        const struct sfunnel_search_table *table = look_up(index, cell & ~SFUNNEL_SEARCH_TABLE);

        if (!table)
            return 1;
        if (table->first_rule >= search->found) {
            search->next = table->next;
            return table->later_first_rule >= search->found;
        }
        search->hash = search_hash(flow, table);
        cell = table->buckets + (search->hash & table->bucket_mask);
    }
    bucket = look_up(index, cell);
    if (!bucket)
        return 1;
    search->next = bucket->next;
#pragma unroll
    for (int entry = 0; entry < SFUNNEL_BUCKET_RULES; entry++) {
        rule = bucket->entries[entry].rule;
        if (rule >= search->found)
            break;
        if (bucket->entries[entry].hash == search->hash && holds(search->list, rule)) {
            search->found = rule;
            break;
        }
    }
    return bucket->later_first_rule >= search->found;
}

static __always_inline __u32 first_table(const struct sfunnel_flow *flow) {
    return SFUNNEL_SEARCH_TABLE | (flow->family == SFUNNEL_IPV6 ? SFUNNEL_SEARCH_IPV6 : 0) |
           (flow->transport == IPPROTO_UDP ? SFUNNEL_SEARCH_UDP : 0);
}

#if HAS_LOOP_HELPER

struct looped_search {
    struct search search;
    void *index;
    const struct sfunnel_flow *flow;
};

static long next_step(__u32 number, struct looped_search *looped) {
    (void)number;
    return search_step(&looped->search, looped->index, looped->flow);
}

/* The first rule of a list that matches the packet; SFUNNEL_NO_RULE: none does. */
static __always_inline __u32 find_rule(const struct packet *packet, __u32 list) {
    struct looped_search looped = {
        .search = {.list = list, .next = first_table(&packet->flow), .found = SFUNNEL_NO_RULE},
        .index = look_up(&indexes, list),
        .flow = &packet->flow,
    };

    if (looped.index)
        bpf_loop(SFUNNEL_MAX_STEPS, next_step, &looped, 0);
    return looped.search.found;
}

#else

/* The search under way: before 5.12 a global function takes numbers alone. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct search);
} searches SEC(".maps");

/* Global, so that the verifier looks at it once and not once a step. */
__noinline int next_step(__u32 list) {
    const struct packet *packet = packet_under_way();
    struct search *search = look_up(&searches, 0);
    void *index = look_up(&indexes, list);

    if (!packet || !search || !index)
        return 1;
    return search_step(search, index, &packet->flow);
}

static __always_inline __u32 find_rule(const struct packet *packet, __u32 list) {
    struct search *search = look_up(&searches, 0);

    if (!search)
        return SFUNNEL_NO_RULE;
    search->list = list;
    search->next = first_table(&packet->flow);
    search->found = SFUNNEL_NO_RULE;
    /* Without CAP_PERFMON the verifier follows a loop beyond its end, as a CPU may speculate. */
#pragma unroll
    for (int step = 0; step < SFUNNEL_MAX_STEPS_WITHOUT_LOOP; step++) {
        if (next_step(list))
            break;
    }
    return search->found;
}

#endif

static __always_inline __u32 list_in_force(const struct packet *packet, __u32 generation) {
    return generation % SFUNNEL_SLOTS * SFUNNEL_DIRECTIONS + packet->direction;
}

#endif
