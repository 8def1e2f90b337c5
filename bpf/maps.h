/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Everything that the program knows. Both directions share one set of maps. */
#ifndef SFUNNEL_MAPS_H
#define SFUNNEL_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sfunnel_control);
} control SEC(".maps");

/*
 * BTF is kept only for types that something refers to. libbpf wants that of the rules, and
 * scripts/generate-abi.mjs reads all of them, so here they are named once.
 */
struct abi_types {
    struct sfunnel_rule rule;
    struct sfunnel_search_table search_table;
    struct sfunnel_search_bucket search_bucket;
    enum sfunnel_search search;
    struct sfunnel_flow flow;
    struct sfunnel_text_chunk text_chunk;
    enum sfunnel_limit limit;
    enum sfunnel_direction direction;
    enum sfunnel_outcome outcome;
    enum sfunnel_rule_kind rule_kind;
    enum sfunnel_family family;
    enum sfunnel_match_field match_field;
    enum sfunnel_source_port source_port;
    enum sfunnel_reply_kind reply_kind;
    struct sfunnel_reply_key reply_key;
    struct sfunnel_reply reply;
    struct sfunnel_connection connection;
    struct sfunnel_port port;
    struct sfunnel_closing closing;
    enum sfunnel_port_bits port_bits;
    enum sfunnel_form form;
    enum sfunnel_connection_kind connection_kind;
    enum sfunnel_flow_event flow_event;
    enum sfunnel_hook_trait hook_trait;
    enum sfunnel_segmenter segmenter;
    enum sfunnel_trace_magic trace_magic;
    enum sfunnel_trace_slot trace_slot;
};
const struct abi_types *keep_btf __attribute__((unused));

/*
 * What packets look up one entry of. BPF_F_INNER_MAP lets arrays of different lengths take each
 * other's place (5.10). With BPF_F_MMAPABLE the entries begin at a page and not somewhere in a line
 * of the cache, so that one of 64 bytes is in one line: memory is what costs among many rules.
 */
#define PLACED_ARRAY (BPF_F_INNER_MAP | BPF_F_MMAPABLE)

/*
 * Sizes instead of types: Linux 6.1 takes no inner map without BTF in the place of one that has it.
 */
struct rule_list {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, PLACED_ARRAY);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct sfunnel_rule));
};

/*
 * Index: slot * SFUNNEL_DIRECTIONS + direction. A replace fills the slot that is not in
 * force, then counts control.generation up: one store changes both directions. The last place is
 * never read: a write to it makes the kernel wait for all programs that still run (that is what
 * an update of a map of maps does since 4.20), after which the old rules' sets may go.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, SFUNNEL_GRACE_PLACE + 1);
    __type(key, __u32);
    __array(values, struct rule_list);
} rulesets SEC(".maps");

struct search_index {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, PLACED_ARRAY);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct sfunnel_search_table));
};

/* Where the rules of a list are found; in the same places as those. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, SFUNNEL_GRACE_PLACE);
    __type(key, __u32);
    __array(values, struct search_index);
} indexes SEC(".maps");

/* Sets are never changed: new rules bring sets of new numbers, the old ones are removed later. */
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, SFUNNEL_MAX_SET_PREFIXES);
    __type(key, struct sfunnel_set_key);
    __type(value, __u32);
} sets SEC(".maps");

/*
 * SFUNNEL_COUNTER_PAGE entries for each CPU, of rules that lie near to each other. No per-CPU
 * array: that has a pointer to look at first, in memory of its own for each rule.
 */
struct counter_page {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, PLACED_ARRAY);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct sfunnel_counter));
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, SFUNNEL_MAX_COUNTERS / SFUNNEL_COUNTER_PAGE);
    __type(key, __u32);
    __array(values, struct counter_page);
} rule_counters SEC(".maps");

/* Index: direction * SFUNNEL_OUTCOMES + outcome. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SFUNNEL_DIRECTIONS *SFUNNEL_OUTCOMES);
    __type(key, __u32);
    __type(value, struct sfunnel_counter);
} outcome_counters SEC(".maps");

/* Which flows came or went funneled. The least recently used one makes room for a new one. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, SFUNNEL_DEFAULT_FLOWS);
    __type(key, struct sfunnel_reply_key);
    __type(value, struct sfunnel_reply);
} replies SEC(".maps");

/*
 * Connections whose ports are translated, and real ones beside them. Those that have only begun are
 * in a table of their own, so that a flood of SYNs drives out nobody else. The kernel marks an
 * entry as used with each look, so in one table an idle connection would go first.
 */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, SFUNNEL_DEFAULT_CONNECTIONS);
    __type(key, struct sfunnel_reply_key);
    __type(value, struct sfunnel_connection);
} connections SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, SFUNNEL_DEFAULT_CONNECTIONS *SFUNNEL_BEGUN_PER_CENT / 100);
    __type(key, struct sfunnel_reply_key);
    __type(value, struct sfunnel_connection);
} beginnings SEC(".maps");

/*
 * Those that are over, in the order in which they ended. There is room for a part of `connections`,
 * and the oldest makes room for the next, so that they too drive out nobody who lives.
 */
struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, SFUNNEL_DEFAULT_CONNECTIONS *SFUNNEL_OVER_PER_CENT / 100);
    __type(value, struct sfunnel_closing);
} closings SEC(".maps");

/*
 * The ports that rules translate from or to, or ever have: packets between others belong to no
 * connection of the tables. Written by user space.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SFUNNEL_PORT_WORDS);
    __type(key, __u32);
    __type(value, __u64);
} translated_ports SEC(".maps");

/* Of each port, what translated connections have made of it. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SFUNNEL_PORTS);
    __type(key, __u32);
    __type(value, struct sfunnel_port);
} ports SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SFUNNEL_MAX_ATTACHMENTS);
    __type(key, struct sfunnel_hook);
    __type(value, __u32);
} special_hooks SEC(".maps");

/* Index: enum sfunnel_flow_event. Packets alone. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SFUNNEL_FLOW_EVENTS);
    __type(key, __u32);
    __type(value, struct sfunnel_counter);
} flow_counters SEC(".maps");

/* Packets that came out of the segmenter without having been sent there; the return program's only
   map. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sfunnel_counter);
} segmenter_strays SEC(".maps");

/* Written by user space, which alone can ask for routes. */
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, SFUNNEL_MAX_ROUTES);
    __type(key, struct sfunnel_route_key);
    __type(value, __u32);
} route_mtus SEC(".maps");

/* Written and read by user space alone; it tells later processes whose program this is. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SFUNNEL_MAX_ATTACHMENTS);
    __type(key, struct sfunnel_attachment_key);
    __type(value, struct sfunnel_attachment);
} sfunnel_names SEC(".maps");

struct text {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, PLACED_ARRAY);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct sfunnel_text_chunk));
};

/*
 * The rules of each slot as text, with their counters, for people and later processes; no
 * packet looks at it. It changes with control.generation, as the rules do.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, SFUNNEL_SLOTS);
    __type(key, __u32);
    __array(values, struct text);
} sfunnel_text SEC(".maps");

/*
 * A value of an array. The index gets a whole slot of the stack, of which the first bytes are read
 * (see struct packet).
 */
static __always_inline void *look_up(void *map, __u32 index) {
    __u64 slot = index;

    return bpf_map_lookup_elem(map, &slot);
}

/* bpf_csum_diff takes at most 512 bytes before 6.12. */
#define SUM_CHUNK 512
#define SUM_SPACE 2048

struct sum_buffer {
    __u8 bytes[SUM_SPACE + 4];
    __u32 offset; /* of what is still to be summed */
    __u32 length;
    __u32 sum;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sum_buffer);
} sum_buffers SEC(".maps");

#endif
