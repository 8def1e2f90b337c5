/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Other ways to find the first rule of a flow than ours, to choose by: what the literature and
 * other programs do with the maps that the kernel has.
 */
#ifndef BENCH_STRUCTURES_H
#define BENCH_STRUCTURES_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* A flow, or what a tuple leaves of it. */
struct tuple_key {
    __u32 saddr[4]; /* network order */
    __u32 daddr[4];
    __u32 ports; /* source port in the upper half, host order */
    __u32 tuple;
};

/* Rules whose prefixes have the same lengths. */
struct tuple {
    struct tuple_key mask;
    __u32 kind; /* family in the upper half, transport */
    __u32 first_rule;
};

/* By their first rules. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct tuple);
} tuples SEC(".maps");

/* The first rule of each. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct tuple_key);
    __type(value, __u32);
} tuple_rules SEC(".maps");

const volatile __u32 tuple_count = 0;

struct tuple_search {
    const struct sfunnel_flow *flow;
    __u32 found; /* index + 1; 0: none so far */
};

/* Tuple space search: one look for each combination of lengths, until none can be better. */
static long look_into_tuple(__u32 number, struct tuple_search *search) {
    const struct tuple *tuple = bpf_map_lookup_elem(&tuples, &number);
    const struct sfunnel_flow *flow = search->flow;
    struct tuple_key key;
    const __u32 *rule;

    if (!tuple || (search->found && tuple->first_rule >= search->found - 1))
        return 1;
    if (tuple->kind != (__u32)(flow->family << 16 | flow->transport))
        return 0;
#pragma unroll
    for (int word = 0; word < 4; word++) {
        key.saddr[word] = flow->saddr[word] & tuple->mask.saddr[word];
        key.daddr[word] = flow->daddr[word] & tuple->mask.daddr[word];
    }
    key.ports = ((__u32)flow->sport << 16 | flow->dport) & tuple->mask.ports;
    key.tuple = number;
    rule = bpf_map_lookup_elem(&tuple_rules, &key);
    if (rule && (!search->found || *rule < search->found - 1))
        search->found = *rule + 1;
    return 0;
}

static __always_inline __u32 find_in_tuples(const struct sfunnel_flow *flow) {
    struct tuple_search search = {.flow = flow};

    bpf_loop(tuple_count, look_into_tuple, &search, 0);
    return search.found;
}

struct trie_key {
    __u32 length;
    __u32 saddr[4];
};

/* The rule of each source prefix. */
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct trie_key);
    __type(value, __u32);
} trie SEC(".maps");

/* The longest prefix alone: right where that is the first rule, whatever ports the flow has. */
static __always_inline __u32 find_in_trie(const struct sfunnel_flow *flow) {
    struct trie_key key = {.length = 128};
    const __u32 *rule;

    __builtin_memcpy(key.saddr, flow->saddr, sizeof(key.saddr));
    rule = bpf_map_lookup_elem(&trie, &key);
    return rule ? *rule + 1 : 0;
}

#define FIELDS 4
#define WORDS_OF_PART 64

/* A bit for each rule, for each field. */
struct bits_part {
    __u64 words[FIELDS][WORDS_OF_PART];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct bits_part);
} bits SEC(".maps");

const volatile __u32 bits_parts = 0;

static long look_into_bits(__u32 number, __u32 *found) {
    const struct bits_part *part = bpf_map_lookup_elem(&bits, &number);
    __u64 common = 0;

    if (!part)
        return 1;
#pragma clang loop unroll_count(8)
    for (int word = 0; word < WORDS_OF_PART; word++)
        common |= part->words[0][word] & part->words[1][word] & part->words[2][word] &
                  part->words[3][word];
    *found = common ? number + 1 : 0;
    return common != 0;
}

/* Bit vectors: of those of a flow's four fields, which have been found for nothing, the first rule
   that all have. */
static __always_inline __u32 find_in_bits(void) {
    __u32 found = 0;

    bpf_loop(bits_parts, look_into_bits, &found, 0);
    return found;
}

#endif
